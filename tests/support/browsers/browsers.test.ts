// The drivers themselves: every engine hears a page's console, clicks, types, waits, resizes and takes pictures.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';

import { browsers, type TestBrowser } from './index.ts';

const html = `<!doctype html><title>drivers</title>
<textarea>before</textarea><input value="x"><button hidden>Press</button><button>Press me</button><p>0</p>
<script>
  console.log('said', 1); console.warn('warned'); console.error('failed');
  setTimeout(() => { throw new Error('thrown'); });
  Promise.reject(new Error('rejected'));
  document.querySelectorAll('button')[1].onclick = (event) => {
    document.querySelector('p').textContent = event.isTrusted ? 'pressed' : 'pretended';
  };
  document.querySelector('textarea').oninput = (event) => { document.title = event.target.value; };
</script>`;

for (const { name, launch } of browsers) {
  describe(name, () => {
    let browser: TestBrowser;
    let server: Server;
    let url: string;
    before(async () => {
      server = createServer((request, response) => {
        response.setHeader('Content-Type', request.url === '/' ? 'text/html' : 'image/x-icon');
        response.end(request.url === '/' ? html : '');
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      url = `http://localhost:${(server.address() as AddressInfo).port}/`;
      browser = await launch();
    });
    after(async () => {
      await browser.close();
      server.closeAllConnections();
      server.close();
    });

    test('console messages and errors that nothing caught', async () => {
      const page = await browser.open(url);
      await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 100)));
      const said = page.messages.map(({ level, text }) => `${level} ${text}`).join('\n');
      for (const message of [/^info said 1$/m, /^warning warned$/m, /^error failed$/m]) {
        assert.match(said, message);
      }
      for (const message of [/^error .*thrown$/m, /^error .*rejected$/m]) assert.match(said, message);
      assert.equal(page.messages.length, 5);
      await page.close();
    });

    test('clicks and keys are those of a person', async () => {
      const page = await browser.open(url);
      await page.click('button', 'Press');
      assert.equal(await page.evaluate(() => document.querySelector('p')?.textContent), 'pressed');
      await page.type('textarea', 'Café\nnext');
      assert.equal(await page.evaluate(() => document.querySelector('textarea')?.value), 'Café\nnext');
      assert.equal(await page.title(), 'Café next');
      await page.close();
    });

    test('promises are waited for, their failures come back', async () => {
      const page = await browser.open(url);
      const sum = await page.evaluate(
        async (numbers: number[]) => {
          await new Promise((resolve) => setTimeout(resolve, 10));
          return numbers.reduce((a, b) => a + b, 0);
        },
        [1, 2, 3],
      );
      assert.equal(sum, 6);
      await assert.rejects(
        page.evaluate(() => Promise.reject(new Error('no such thing'))),
        /no such thing/,
      );
      await page.close();
    });

    test('a profile lasts over a reload and ends with its page', async () => {
      const page = await browser.open(url);
      await page.evaluate(() => {
        localStorage.setItem('kept', 'yes');
      });
      await page.reload();
      assert.equal(await page.evaluate(() => localStorage.getItem('kept')), 'yes');
      await page.close();
      const other = await browser.open(url);
      assert.equal(await other.evaluate(() => localStorage.getItem('kept')), null);
      await other.close();
    });

    test('sizes and pictures', async () => {
      const page = await browser.open(url);
      for (const [width, height] of [
        [360, 640],
        [1280, 900],
      ] as const) {
        await page.resize(width, height);
        assert.deepEqual(await page.evaluate(() => [innerWidth, innerHeight]), [width, height]);
        const picture = await page.screenshot();
        assert.equal(picture.subarray(1, 4).toString(), 'PNG');
        assert.deepEqual([picture.readUInt32BE(16), picture.readUInt32BE(20)], [width, height]);
      }
      await page.close();
    });
  });
}
