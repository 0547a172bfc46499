// The page in a real Chromium: no violation of its policy, no complaint of the console, no finding
// of axe in both themes and widths, every control by keyboard, no script of a peer, live updates.
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import t from 'tap';
import { withChromium } from '../../data.ts';
import { until } from '../../egress/until.ts';
import { launchChromium, serveFacts, watchedPage } from './driven.ts';
import { hostileFacts, largeZone } from './large-zone.ts';

interface Finding {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** Returns what axe finds wrong, by its rules of WCAG and good practice. */
async function findings(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source);
  const found: readonly Finding[] = await page.evaluate('axe.run().then(({ violations }) => violations)');
  return found.map(({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 150) ?? ''} ${nodes[0]?.failureSummary ?? ''}`);
}

interface Focused {
  readonly name: string;
  readonly tag: string;
  readonly width: number;
}

const FOCUSED = `(() => {
  const it = document.activeElement;
  const box = it.getBoundingClientRect();
  const name = it.getAttribute('aria-label') || it.querySelector('title')?.textContent || it.labels?.[0]?.textContent || it.textContent;
  return { name: name.trim(), tag: it.localName, width: box.width };
})()`;

t.test('in a real browser', withChromium, async (t) => {
  const browser = await launchChromium();
  t.teardown(() => browser.close());
  const { facts } = await largeZone();
  let open = 1_000;
  const server = await serveFacts({ ...facts, open: () => open });
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${server.port}/`;

  await t.test('it reads well in both themes and both widths', async (t) => {
    for (const width of [390, 1280])
      for (const theme of ['light', 'dark'] as const) {
        const { page, complaints } = await watchedPage(browser, { width, theme });
        await page.goto(url);
        t.strictSame(await findings(page), [], `${width} ${theme}`);
        const wide: boolean = await page.evaluate('document.documentElement.scrollWidth > innerWidth');
        t.equal(wide, false, `nothing is wider than ${width}`);
        if ((width === 390) === (theme === 'light')) {
          await page.locator('#refusals td a').first().click();
          await page.waitForURL(/\/explain\?id=/);
          t.match(await page.locator('h1').textContent(), 'Explain');
          t.strictSame(await findings(page), [], `the trace, ${width} ${theme}`);
        }
        t.strictSame(complaints, []);
        await page.close();
      }
  });

  await t.test('what changes appears, and what a person does stays', async (t) => {
    const { page, complaints } = await watchedPage(browser, { width: 1280, theme: 'light' });
    await page.goto(url);
    const shown = (): Promise<string | null> => page.locator('#state dd').nth(2).textContent();
    t.equal((await shown())?.trim(), '1000');
    await page.locator('#change summary').click();
    await page.locator('#sessions input[name=client]').fill('spiffe://pay');
    await page.evaluate('scrollTo(0, 300)');
    open = 1_234;
    await until('the new number is shown', async () => (await shown())?.trim() === '1234');
    t.equal(await page.locator('#change').getAttribute('open'), '', 'opened details stay open');
    t.equal(await page.locator('#sessions input[name=client]').inputValue(), 'spiffe://pay', 'a half-written filter stays');
    t.equal(await page.evaluate('document.activeElement.name'), 'client', 'the focus stays');
    await page.locator('#sessions input[name=client]').fill('spiffe://payments/*');
    await page.keyboard.press('Enter');
    await until(
      'the filter works',
      async () => (await page.locator('#sessions tbody').textContent())?.includes('default') === false,
    );
    t.match(page.url(), /client=spiffe/, 'and is in the address');
    await page.locator('#map input[type=search]').fill('fraud');
    await until(
      'the search works',
      async () =>
        (await page.locator('.zone.wide .node[data-live=sessions], .zone.wide .node[data-live=refusals]').count()) <= 21,
    );
    await page.locator('#map input[type=search]').fill('');
    await until('all is shown again', async () => (await page.locator('.zone.wide [data-key^="mesh "]').count()) === 10);
    await until('the address has no search', () => !page.url().includes('find='));
    await page.locator('.zone.wide [data-key="mesh search"]').click();
    await until('the mesh is open', async () => (await page.locator('.zone.wide [data-key^="search "]').count()) === 20);
    t.strictSame(complaints, []);
    await page.close();
  });

  await t.test('everything is reached by keyboard, in the order of the page, and named', async (t) => {
    const { page, complaints } = await watchedPage(browser, { width: 1280, theme: 'light' });
    await page.goto(url);
    const walked: Focused[] = [];
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      walked.push(await page.evaluate(FOCUSED));
    }
    t.match(walked[0]?.name ?? '', /content/i, 'first the way around the list of parts');
    t.strictSame(
      walked.filter(({ name, width, tag }) => name === '' || width === 0 || tag === 'body'),
      [],
    );
    for (const wanted of ['Refresh', 'Pause updates', 'Open sessions', 'Find'])
      t.ok(
        walked.some(({ name }) => name.startsWith(wanted)),
        wanted,
      );
    await page.locator('#explain input[name=sni]').focus();
    await page.keyboard.type('api{mesh=default}');
    await page.keyboard.press('Tab');
    await page.keyboard.type('spiffe://default/batch');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/explain\?output=html/);
    t.match(await page.locator('main').textContent(), /refused at\s+permission: denied/);
    t.strictSame(complaints, []);
    await page.close();
  });

  await t.test('no text of a peer runs, whichever field it comes in', async (t) => {
    const attacked = await serveFacts(hostileFacts(facts));
    t.teardown(() => attacked.close());
    const { page, complaints } = await watchedPage(browser, { width: 1280, theme: 'dark' });
    await page.addInitScript('globalThis.attacked = () => console.error("attacked")');
    const payload = encodeURIComponent('"><img src=x onerror="attacked()"><script>attacked()</script>');
    const at = `http://127.0.0.1:${attacked.port}`;
    for (const path of ['/?limit=1000', `/?find=${payload}&mesh=${payload}&client=${payload}&sni=${payload}`]) {
      await page.goto(`${at}${path}`);
      const before = await page.locator('#updated').textContent();
      // The script takes the hostile parts over once more.
      await page.locator('[data-refresh]').click();
      await page.waitForFunction('document.querySelectorAll("section [data-part]").length === 8');
      t.match(before, 'Written');
      t.equal(await page.locator('img, iframe, object, [onerror], script:not([src="/page/console.js"])').count(), 0, path);
    }
    for (const path of ['/explain?output=html&id=0.5001', `/explain?output=html&sni=${payload}`]) {
      await page.goto(`${at}${path}`);
      t.equal(await page.locator('img, script').count(), 0, path);
    }
    t.strictSame(complaints, []);
    await page.close();
  });

  await t.test('an egress that goes away is shown to be away', async () => {
    const gone = await serveFacts(facts);
    const { page } = await watchedPage(browser, { width: 1280, theme: 'light' });
    await page.goto(`http://127.0.0.1:${gone.port}/`);
    await gone.close();
    await until('it is told', async () => (await page.locator('#news').textContent())?.startsWith('No update') === true);
    await page.close();
  });
});
