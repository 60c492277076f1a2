// Lighthouse's accessibility and best practices on the production build. Its performance is a time: ./run bench page.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromium } from 'playwright-core';

import { serve } from '../../web/server.ts';
import { freePort } from '../support/ports.ts';
import { audit } from './audit.ts';
import { dist, switches } from './support.ts';

const least = 95;

test('Lighthouse: accessibility and best practices', async () => {
  const { server, url } = await serve(dist);
  const port = await freePort();
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [...switches, `--remote-debugging-port=${port}`],
  });
  try {
    const { scores, faults } = await audit(url, port, ['accessibility', 'best-practices']);
    for (const [name, score] of Object.entries(scores)) {
      assert.ok(score >= least, `${name} ${score}: ${faults.join('; ')}`);
    }
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
  }
});
