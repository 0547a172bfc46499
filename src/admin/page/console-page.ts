import { readFile } from 'node:fs/promises';
import type { View } from '../views.ts';
import { askedPage } from './asked-page.ts';
import type { AskedPage } from './asked-page.ts';
import { htmlView, PAGE_HEADERS } from './document.ts';
import { explainPage } from './explain-page.ts';
import type { PageFacts } from './facts.ts';
import type { Html } from './markup.ts';
import { ASSETS } from './paths.ts';
import { zonePage } from './zone-page.ts';

export type AnswerPage = (path: string, search: string) => Promise<View>;

/** Answers what `isPageRequest` takes. It holds nothing while no browser asks. */
export function consolePage(facts: PageFacts): AnswerPage {
  const running = new Map<string, Promise<Html>>();

  /** Browsers that ask for the same thing while it is made cost one page. */
  async function shared(asked: AskedPage, sni: string): Promise<Html> {
    const key = JSON.stringify([asked, sni]);
    const known = running.get(key);
    if (known !== undefined) return known;
    const page = zonePage(facts, asked, sni);
    running.set(key, page);
    try {
      return await page;
    } finally {
      running.delete(key);
    }
  }

  return async (path, search) => {
    if (path === '/explain') return explainPage((question) => facts.explain(question), search);
    if (path === '/') return htmlView(200, await shared(askedPage(search), new URLSearchParams(search).get('sni') ?? ''));
    return asset(path);
  };
}

async function asset(path: string): Promise<View> {
  const body = await readFile(new URL(path.slice('/page/'.length), import.meta.url), 'utf8');
  return { status: 200, contentType: ASSETS.get(path) ?? '', body, headers: PAGE_HEADERS };
}
