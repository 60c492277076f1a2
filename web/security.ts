// The content security policy, in one place: the build writes it into index.html, the server sends it as a header.

const policy: Readonly<Record<string, readonly string[]>> = {
  'default-src': ["'none'"],
  'script-src': ["'self'", "'wasm-unsafe-eval'"], // WebAssembly may compile; eval stays refused
  'style-src': ["'self'"],
  'img-src': ["'self'"],
  'font-src': ["'self'"],
  // the page's own files, and Hugging Face's hub with the hosts that it sends large files from: a model asked for by name
  'connect-src': ["'self'", 'https://huggingface.co', 'https://*.huggingface.co', 'https://*.hf.co'],
  'worker-src': ["'self'"],
  'base-uri': ["'none'"],
  'form-action': ["'none'"],
};

function write(directives: Readonly<Record<string, readonly string[]>>): string {
  return Object.entries(directives)
    .map(([name, sources]) => `${name} ${sources.join(' ')}`)
    .join('; ');
}

/** For the meta element, where frame-ancestors has no effect. */
export const metaPolicy = write(policy);

/** Sent with every answer: the policy, cross-origin isolation (threads), nothing else granted. */
export const headers: Readonly<Record<string, string>> = {
  'Content-Security-Policy': write({ ...policy, 'frame-ancestors': ["'none'"] }),
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};
