// `node scripts/node.mjs --dev perf/browser-page.ts [--screenshots DIR]`: what the page at `/` of
// the admin listener costs a browser and the egress, with 10 meshes, 200 services and 1,000 open
// sessions: bytes, frames while 1,000 rows scroll and updates come, time of the processor for each
// page and each update. It needs Chromium (apt-get install chromium).
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Browser } from 'playwright-core';
import { askedPage } from '../src/admin/page/asked-page.ts';
import { zonePage } from '../src/admin/page/zone-page.ts';
import { launchChromium, serveFacts, watchedPage } from '../test/admin/page/driven.ts';
import { largeZone } from '../test/admin/page/large-zone.ts';

async function bytes(): Promise<void> {
  const sizes = await Promise.all(
    ['', 'page/console.css', 'page/console.js', 'page/icon.svg'].map(async (path) => {
      const answer = await fetch(url + path, { headers: { accept: 'text/html' } });
      return (await answer.arrayBuffer()).byteLength;
    }),
  );
  const all = sizes.reduce((sum, each) => sum + each, 0);
  console.log(`bytes: page, style, script, icon ${sizes.join(', ')}: ${(all / 1_024).toFixed(1)} KiB`);
}

async function processor(): Promise<void> {
  for (const [what, search] of [
    ['whole page', ''],
    ['update of state and refusals', '?part=state&part=alarms&part=refusals'],
    ['update of the picture', '?part=map'],
    ['update of 1,000 sessions', '?part=sessions&limit=1000'],
  ] as const) {
    const times: number[] = [];
    for (let i = 0; i < 25; i++) {
      const before = process.cpuUsage();
      await zonePage(facts, askedPage(search), '');
      const { user, system } = process.cpuUsage(before);
      times.push((user + system) / 1_000);
    }
    times.sort((a, b) => a - b);
    console.log(`processor: ${what}: median ${times[12]?.toFixed(1) ?? ''} ms of 25`);
  }
}

/** Scrolls from top to bottom and back for 300 frames, as fast as a hand does. */
const SCROLL = `new Promise((resolve) => {
  const list = document.querySelector('#sessions .table');
  list.scrollIntoView();
  const most = list.scrollHeight - list.clientHeight;
  const times = [];
  const step = (at) => {
    times.push(at);
    list.scrollTop = most * (1 - Math.abs(1 - times.length / 150));
    if (times.length <= 300) requestAnimationFrame(step);
    else resolve({ rows: list.querySelectorAll('tbody tr').length, gaps: times.slice(1).map((each, i) => each - times[i]) });
  };
  requestAnimationFrame(step);
})`;

async function frames(browser: Browser): Promise<void> {
  const { page } = await watchedPage(browser, { width: 1280, theme: 'light' });
  await page.goto(`${url}?limit=1000`);
  const session = await page.context().newCDPSession(page);
  // Time of the processor: the wall clock of a busy machine says little about the page.
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const spent = async (): Promise<number> => {
    const { metrics } = await session.send('Performance.getMetrics');
    return (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? 0) * 1_000;
  };
  const before = await spent();
  const { rows, gaps }: { rows: number; gaps: number[] } = await page.evaluate(SCROLL);
  gaps.sort((a, b) => a - b);
  const late = gaps.filter((gap) => gap > 20).length;
  const at = (share: number): string => (gaps[Math.floor(gaps.length * share)] ?? 0).toFixed(1);
  const whole = gaps.reduce((sum, each) => sum + each, 0);
  console.log(
    `frames: ${rows} rows, ${gaps.length} frames, ${((gaps.length * 1_000) / whole).toFixed(1)} a second; between two: median ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms; ${late} above 20 ms`,
  );
  const each = ((await spent()) - before) / gaps.length;
  console.log(
    `frames: the main thread of the page takes ${each.toFixed(1)} ms of the processor for each; 60 a second allow 16.7`,
  );
  await page.close();
}

async function screenshots(browser: Browser, folder: string): Promise<void> {
  for (const [width, height] of [
    [1280, 1_500],
    [390, 1_250],
  ] as const)
    for (const theme of ['light', 'dark'] as const) {
      const { page } = await watchedPage(browser, { width, theme });
      await page.setViewportSize({ width, height });
      await page.goto(url);
      const session = await page.context().newCDPSession(page);
      const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 55 });
      const file = join(folder, `console-${width}-${theme}.webp`);
      writeFileSync(file, Buffer.from(data, 'base64'));
      console.log(`wrote ${file}`);
      await page.close();
    }
}

const { values } = parseArgs({ options: { screenshots: { type: 'string' } } });
const { facts } = await largeZone();
const server = await serveFacts(facts);
const url = `http://127.0.0.1:${server.port}/`;
const browser = await launchChromium();
try {
  await bytes();
  await processor();
  await frames(browser);
  if (values.screenshots !== undefined) await screenshots(browser, values.screenshots);
} finally {
  await browser.close();
  await server.close();
}
