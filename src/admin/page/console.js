// @ts-check
// Keeps an open page live. The server writes all of its content: this asks for the parts that are
// in view, and changes what differs. Without it the page works by links and forms.

const EVERY_MS = 3_000;
const SLOWEST_MS = 30_000;
/** A list that is being scrolled is not changed meanwhile. */
const SCROLL_MS = 400;
const TYPING_MS = 250;
/** A screen reader hears of changes at most this often. */
const NEWS_MS = 15_000;

const news = /** @type {HTMLElement} */ (document.getElementById('news'));
const pause = /** @type {HTMLButtonElement} */ (document.getElementById('pause'));
/** @type {Set<string>} */
const inView = new Set();
/** @type {AbortController | null} */
let running = null;
let [paused, failures, timer, lastScroll, lastNews] = [false, 0, 0, 0, 0];

/** Takes over what differs of `next`, so that focus, scroll and open details stay. */
function morph(/** @type {Element} */ now, /** @type {Element} */ next) {
  for (const { name } of [...now.attributes]) if (!next.hasAttribute(name) && name !== 'open') now.removeAttribute(name);
  for (const { name, value } of next.attributes)
    if (name !== 'open' && now.getAttribute(name) !== value) now.setAttribute(name, value);
  // What a person types or has chosen stays.
  if (/^(?:INPUT|SELECT|TEXTAREA)$/.test(now.nodeName)) return;
  morphChildren(now, next);
}

function morphChildren(/** @type {Element} */ now, /** @type {Element} */ next) {
  const keyed = new Map();
  for (const child of now.children) {
    const key = child.getAttribute('data-key') ?? child.id;
    if (key !== '') keyed.set(key, child);
  }
  /** @type {ChildNode | null} */
  let at = now.firstChild;
  for (const wanted of [...next.childNodes]) {
    const key = wanted instanceof Element ? (wanted.getAttribute('data-key') ?? wanted.id) : '';
    const known = key === '' ? (isAlike(at, wanted) ? at : null) : keyed.get(key);
    if (known === undefined || known === null || known.nodeName !== wanted.nodeName) {
      now.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    keyed.delete(key);
    if (known === at) at = at?.nextSibling ?? null;
    else now.insertBefore(known, at);
    if (known instanceof Element && wanted instanceof Element) morph(known, wanted);
    else if (known.nodeValue !== wanted.nodeValue) known.nodeValue = wanted.nodeValue;
  }
  while (at !== null) {
    const rest = at.nextSibling;
    at.remove();
    at = rest;
  }
}

/** Tells whether a node without a key may become the other. */
function isAlike(/** @type {ChildNode | null} */ now, /** @type {ChildNode} */ wanted) {
  if (now === null || now.nodeName !== wanted.nodeName) return false;
  return !(now instanceof Element) || (now.getAttribute('data-key') ?? now.id) === '';
}

/** Notes the values whose change is news, e.g. the state. */
function newsIn(/** @type {ParentNode} */ root) {
  return new Map(
    [...root.querySelectorAll('[data-news]')].map((each) => [each.getAttribute('data-news'), each.textContent ?? '']),
  );
}

function tell(/** @type {string} */ text) {
  news.textContent = text;
  lastNews = Date.now();
}

/** Asks for parts anew; the address of the page says what they show. */
async function update(/** @type {readonly string[]} */ parts) {
  running?.abort();
  const mine = (running = new AbortController());
  const asked = new URLSearchParams(location.search);
  for (const part of parts) asked.append('part', part);
  asked.set('output', 'html');
  try {
    const answer = await fetch(`/?${asked}`, { signal: mine.signal, headers: { accept: 'text/html' }, cache: 'no-store' });
    if (!answer.ok) throw new Error(`the egress answered ${answer.status}`);
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const before = newsIn(document);
    for (const part of [...next.querySelectorAll('[data-part]'), ...next.querySelectorAll('#updated')]) {
      const name = part.getAttribute('data-part');
      const now = name === null ? document.getElementById('updated') : document.querySelector(`[data-part="${name}"]`);
      if (now !== null) morph(now, part);
    }
    const changed = [...newsIn(document)].filter(([name, text]) => before.has(name) && before.get(name) !== text);
    if (failures > 0) tell('The egress answers again.');
    else if (changed.length > 0 && Date.now() - lastNews > NEWS_MS) tell(changed.map(([, text]) => text).join('. '));
    failures = 0;
  } catch (error) {
    if (mine.signal.aborted) return;
    if (failures++ === 0)
      tell(`No update: ${error instanceof TypeError ? 'the egress cannot be reached' : String(error)}. It is tried again.`);
  } finally {
    if (running === mine) running = null;
  }
}

function isBusy() {
  const selection = getSelection();
  const selects = selection !== null && !selection.isCollapsed;
  return paused || document.hidden || selects || performance.now() - lastScroll < SCROLL_MS;
}

function plan() {
  clearTimeout(timer);
  timer = window.setTimeout(
    async () => {
      if (!isBusy() && running === null)
        await update(['state', 'alarms', ...[...inView].filter((part) => part !== 'state' && part !== 'alarms')]);
      plan();
    },
    performance.now() - lastScroll < SCROLL_MS ? SCROLL_MS : Math.min(SLOWEST_MS, EVERY_MS * 2 ** Math.min(failures, 4)),
  );
}

/** Shows another selection: the address changes, the page stays. */
function show(/** @type {URL} */ to) {
  for (const [name, value] of [...to.searchParams]) if (value === '') to.searchParams.delete(name);
  history.replaceState(null, '', to);
  for (const field of document.querySelectorAll('form[data-live] :is(input, select)'))
    if ((field instanceof HTMLInputElement || field instanceof HTMLSelectElement) && field !== document.activeElement)
      field.value = to.searchParams.get(field.name) ?? (field.name === 'limit' ? '50' : '');
  void update([...document.querySelectorAll('[data-part]')].map((each) => each.getAttribute('data-part') ?? ''));
}

function ofForm(/** @type {HTMLFormElement} */ form) {
  const to = new URL(form.action);
  const own = [...new FormData(form)].map(([name, value]) => /** @type {[string, string]} */ ([name, String(value)]));
  const kept = new URLSearchParams(location.search);
  for (const [name, value] of own) kept.set(name, value);
  to.search = kept.toString();
  return to;
}

const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const part = target.getAttribute('data-part') ?? '';
      if (isIntersecting) inView.add(part);
      else inView.delete(part);
    }
  },
  { rootMargin: '200px' },
);
for (const part of document.querySelectorAll('[data-part]')) observer.observe(part);

document.addEventListener('scroll', () => (lastScroll = performance.now()), { capture: true, passive: true });
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.dataset.live === undefined) return;
  event.preventDefault();
  show(ofForm(form));
});
document.addEventListener('click', (event) => {
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (link === null || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  if (link.matches('[data-refresh]')) {
    event.preventDefault();
    show(new URL(location.href));
  } else if (link.matches('[data-live]')) {
    event.preventDefault();
    show(new URL(link.getAttribute('href') ?? '', location.href));
    const part = document.getElementById(link.getAttribute('data-live') ?? '');
    if (part === null || part.contains(link)) return;
    part.scrollIntoView();
    part.focus({ preventScroll: true });
  }
});
let typing = 0;
document.addEventListener('input', (event) => {
  const field = event.target;
  if (!(field instanceof HTMLInputElement) || field.type !== 'search' || field.form === null) return;
  const form = field.form;
  clearTimeout(typing);
  typing = window.setTimeout(() => show(ofForm(form)), TYPING_MS);
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) plan();
});
pause.hidden = false;
pause.addEventListener('click', () => {
  paused = !paused;
  pause.setAttribute('aria-pressed', String(paused));
});
plan();
