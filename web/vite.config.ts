// Builds the page into web/dist: relative addresses only, so that it works under any base path of any static host.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { defineConfig, type Plugin } from 'vite';
import { metaPolicy } from './security.ts';

/** Writes the content security policy into the built page; the development server needs inline styles. */
function securityPolicy(): Plugin {
  return {
    name: 'security-policy',
    apply: 'build',
    transformIndexHtml: () => [
      {
        tag: 'meta',
        attrs: { 'http-equiv': 'Content-Security-Policy', content: metaPolicy },
        injectTo: 'head-prepend',
      },
    ],
  };
}

const modelFolder = path.join(import.meta.dirname, '../models/default');

/** The files of models/default, the weights where they are there, become part of the page. */
function modelFiles(): Plugin {
  const folder = modelFolder;
  const served = 'models/default/';
  const wanted = /\.(json|txt|safetensors)$/;
  return {
    name: 'model-files',
    generateBundle() {
      for (const name of readdirSync(folder).filter((file) => wanted.test(file))) {
        this.emitFile({
          type: 'asset',
          fileName: served + name,
          source: readFileSync(path.join(folder, name)),
        });
      }
    },
    configureServer(server) {
      server.middlewares.use(`/${served}`, (request, response, next) => {
        const name = path.basename(request.url ?? '');
        if (wanted.test(name) && existsSync(path.join(folder, name))) {
          response.end(readFileSync(path.join(folder, name)));
        } else next();
      });
    },
  };
}

/** Asks for the two main fonts with the page, so that its first text is laid out once. */
function fontPreloads(): Plugin {
  return {
    name: 'font-preloads',
    apply: 'build',
    transformIndexHtml: {
      order: 'post',
      handler: (_, { bundle }) =>
        Object.keys(bundle ?? {})
          .filter((name) => name.endsWith('.woff2') && !name.includes('latin-ext'))
          .map((name) => ({
            tag: 'link',
            attrs: { rel: 'preload', as: 'font', type: 'font/woff2', crossorigin: '', href: `./${name}` },
            injectTo: 'head',
          })),
    },
  };
}

/** Tells the service worker which files to keep: all but the weights, which the package keeps itself. */
function offlineFiles(): Plugin {
  return {
    name: 'offline-files',
    enforce: 'post',
    generateBundle(_, bundle) {
      const worker = bundle['service-worker.js'];
      if (worker?.type !== 'chunk') return;
      const kept = /\.(js|css|wasm|woff2|svg|txt)$/;
      const names = Object.keys(bundle)
        .filter((name) => kept.test(name) && name !== worker.fileName)
        .sort();
      const hash = createHash('sha256').update(names.join()).digest('hex').slice(0, 12);
      worker.code = worker.code.replace('__FILES__', names.join()).replace('__HASH__', hash);
    },
  };
}

export default defineConfig({
  base: './',
  define: { __MODEL_INCLUDED__: existsSync(path.join(modelFolder, 'model.safetensors')) },
  plugins: [securityPolicy(), fontPreloads(), modelFiles(), offlineFiles()],
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: {
      input: ['index.html', 'src/service-worker.ts'],
      output: {
        // the service worker stands beside index.html: it serves its own folder and what is below
        entryFileNames: (chunk) =>
          chunk.name === 'service-worker' ? '[name].js' : 'assets/[name]-[hash].js',
      },
    },
  },
});
