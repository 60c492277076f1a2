// Makes the page work without a network after the first visit, and cross-origin isolated (threads) on hosts that cannot
// set headers. Files with a hash in their name come from the cache, all others from the network first.

interface Extendable extends Event {
  waitUntil(done: Promise<unknown>): void;
}

interface Fetching extends Extendable {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

interface Scope {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: 'install' | 'activate', listener: (event: Extendable) => void): void;
  addEventListener(type: 'fetch', listener: (event: Fetching) => void): void;
}

const scope = globalThis as unknown as Scope;

// The build puts the names of its files and a hash of them here.
const files = '__FILES__'.split(',');
const current = 'bertlens-page-__HASH__';

const here = scope.registration.scope;

scope.addEventListener('install', (event) => {
  const fill = async () => {
    const cache = await caches.open(current);
    await cache.addAll(['', ...files].map((name) => new URL(name, here).href));
    await scope.skipWaiting();
  };
  event.waitUntil(fill());
});

scope.addEventListener('activate', (event) => {
  const tidy = async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith('bertlens-page-') && name !== current) await caches.delete(name);
    }
  };
  event.waitUntil(tidy());
  // Not waited for: Firefox sometimes never tells that it has claimed a page whose own workers are just starting, and as long
  // as `activate` lasts, every request of that page waits.
  void scope.clients.claim();
});

/** Workers and documents must both carry these, or threads stay off. */
function isolated(response: Response): Response {
  if (response.headers.get('Cross-Origin-Embedder-Policy') !== null || response.type === 'opaqueredirect') {
    return response;
  }
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(current);
  if (request.url.startsWith(`${here}assets/`)) {
    const kept = await cache.match(request.url);
    if (kept) return isolated(kept);
  }
  try {
    return isolated(await fetch(request));
  } catch (error) {
    const kept = await cache.match(request.url.replace(/[#?].*$/, ''));
    if (kept) return isolated(kept);
    throw error;
  }
}

scope.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method === 'GET' && request.url.startsWith(here)) event.respondWith(answer(request));
});
