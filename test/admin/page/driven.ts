// The page of a large zone on an admin listener, and a browser to look at it.
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { createAdminServer } from '../../../src/admin/server.ts';
import type { AdminServer } from '../../../src/admin/server.ts';
import { consolePage } from '../../../src/admin/page/console-page.ts';
import type { PageFacts } from '../../../src/admin/page/facts.ts';
import { CHROMIUM } from '../../data.ts';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS, timeout: 120_000 });
}

export function serveFacts(facts: PageFacts): Promise<AdminServer> {
  const state = {
    ...facts,
    metrics: () => Promise.reject(new Error('not asked for')),
    follow: () => null,
    probe: () => Promise.resolve({ kind: 'busy', why: '' } as const),
  };
  return createAdminServer({ address: '127.0.0.1', port: 0, allowedHosts: [], state, browser: consolePage(facts) });
}

export interface Watched {
  readonly page: Page;
  /** What the page wrote to the console, threw, or asked for elsewhere. */
  readonly complaints: string[];
}

export interface Screen {
  readonly width: number;
  readonly theme: 'light' | 'dark';
}

/** Opens a tab in which every complaint is kept. */
export async function watchedPage(browser: Browser, { width, theme }: Screen): Promise<Watched> {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: theme, reducedMotion: 'reduce' });
  page.setDefaultTimeout(120_000);
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText ?? '';
    // An update that a newer one, or the next page, replaces.
    if (why !== 'net::ERR_ABORTED') complaints.push(`failed: ${request.url()} ${why}`);
  });
  return { page, complaints };
}
