// What every scenario stands on: one Chromium, watched for everything that must not happen on a page of ours.
//
// A scenario is a file beside this one that calls `play`. Rust (tests/it/browser) starts it with what it has to know as JSON in
// $TRACK_SCENARIO, answers what it asks (`ask`), prints what it tells (`tell`), and fails with its last words if it fails.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const modules = process.env.TRACK_BROWSER_MODULES;
const screenshots = process.env.TRACK_SCREENSHOTS;
const require = createRequire(join(modules, 'package.json'));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

// A hang is a failure long before the test runner loses patience.
const PATIENCE = 20_000;

const SIZES = { laptop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
const SCHEMES = ['light', 'dark'];

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the test that started us to do or tell something, and waits for its answer. */
export async function ask(what, about = null) {
    process.stdout.write(`${JSON.stringify({ ask: what, about })}\n`);
    const { value, done } = await answers.next();
    if (done) throw new Error(`nobody answers ${what}`);
    return JSON.parse(value);
}

/** A line for whoever reads the test's output: what was measured. */
export function tell(text) {
    process.stdout.write(`${JSON.stringify({ tell: text })}\n`);
}

export function check(holds, otherwise) {
    if (!holds) throw new Error(otherwise);
}

export function same(found, expected, what) {
    const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
    check(a === b, `${what}: ${a} instead of ${b}`);
}

/** Waits for a condition that is looked at in Node, not in the page. */
export async function until(what, condition) {
    const end = Date.now() + PATIENCE;
    for (;;) {
        const value = await condition();
        if (value) return value;
        check(Date.now() < end, `still not: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

/** Plays a scenario: launches the browser, and fails for whatever went wrong on any page, with a picture of each. */
export async function play(name, scenario) {
    const input = JSON.parse(process.env.TRACK_SCENARIO);
    const browser = await chromium.launch({
        executablePath: process.env.TRACK_BROWSER,
        // Chromium's own sandbox does not start as root or inside a container; the pages are our own.
        args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
    });
    const stage = new Stage(name, browser, input);
    try {
        await scenario(stage);
        stage.fail();
    } catch (error) {
        await stage.pictures();
        const also = stage.wrong.length ? `\nwhat the browser complained about:\n  ${stage.wrong.join('\n  ')}` : '';
        process.stderr.write(`${name}: ${error.stack ?? error}${also}\npictures: ${screenshots}/failed-${name}-*.png\n`);
        process.exitCode = 1;
    } finally {
        await browser.close();
        process.stdin.destroy();
    }
}

/** A browser with people in it, and everything that went wrong so far. */
class Stage {
    constructor(name, browser, input) {
        Object.assign(this, { name, browser, input, wrong: [], expected: [], contexts: [] });
        this.origins = new Set(input.origins ?? []);
    }

    /** Somebody with a browser of their own: no cookies, nothing cached. Answers their first tab. */
    async person(options = {}) {
        const context = await this.browser.newContext({
            viewport: SIZES.laptop,
            // A colour in the middle of a transition is nobody's contrast.
            reducedMotion: 'reduce',
            ...options,
        });
        context.setDefaultTimeout(PATIENCE);
        this.contexts.push(context);
        if (options.javaScriptEnabled !== false) {
            await context.addInitScript(() => {
                document.addEventListener('securitypolicyviolation', (event) => {
                    console.error(`refused by ${event.effectiveDirective}: ${event.blockedURI} (${event.sourceFile ?? ''} ${event.sample ?? ''})`);
                });
            });
        }
        context.on('page', (page) => this.watch(page));
        return context.newPage();
    }

    /** A complaint that belongs to what is being tried, e.g. of a page that answers 403 and should. */
    expect(pattern) {
        this.expected.push(pattern);
    }

    complain(text) {
        if (!this.expected.some((pattern) => pattern.test(text))) this.wrong.push(text);
    }

    watch(page) {
        const where = () => page.url().slice(0, 120);
        page.on('console', (message) => {
            if (message.type() === 'error') this.complain(`console on ${where()}: ${message.text()} ${message.location().url}`);
        });
        page.on('pageerror', (error) => this.complain(`error on ${where()}: ${error.message}`));
        page.on('dialog', (dialog) => {
            this.complain(`a ${dialog.type()} opened on ${where()}: ${dialog.message()}`);
            dialog.dismiss().catch(() => {});
        });
        page.on('request', (request) => {
            const url = new URL(request.url());
            const ours = ['data:', 'blob:', 'about:'].includes(url.protocol) || this.origins.has(url.origin);
            if (!ours) this.complain(`${where()} asked for something from elsewhere: ${url}`);
        });
        page.on('requestfailed', (request) => {
            const why = request.failure()?.errorText ?? '';
            // Leaving a page ends its stream of events, and a download ends its navigation.
            if (why !== 'net::ERR_ABORTED') this.complain(`${request.method()} ${request.url()} failed: ${why}`);
        });
        page.on('response', (response) => {
            if (response.status() >= 400) this.complain(`${response.request().method()} ${response.url()} was answered with ${response.status()}`);
        });
    }

    /** Fails if anything went wrong so far. */
    fail() {
        check(this.wrong.length === 0, 'the browser complained');
    }

    /** Opens what may be a page; null for what is a download or a text by itself. */
    async open(page, url) {
        let answer;
        try {
            answer = await page.goto(url);
        } catch (error) {
            if (/Download is starting/.test(error.message)) return null;
            throw error;
        }
        check(answer.status() === 200, `${url} is answered with ${answer.status()}`);
        return answer.headers()['content-type']?.startsWith('text/html') ? answer : null;
    }

    /** A page as people see it: on a laptop and a phone, light and dark; each must pass axe and fit its width. */
    async look(page, name, { axe = true } = {}) {
        const found = [];
        for (const [size, viewport] of Object.entries(SIZES)) {
            await page.setViewportSize(viewport);
            for (const colorScheme of SCHEMES) {
                await page.emulateMedia({ colorScheme });
                await this.picture(page, `${name}-${size}-${colorScheme}`);
                if (axe) found.push(...(await violations(page)).map((text) => `${name} (${size}, ${colorScheme}): ${text}`));
            }
            const wide = await page.evaluate(overflow);
            if (wide) found.push(`${name} (${size}): ${wide}`);
        }
        found.push(...(await page.evaluate(foreign)).map((text) => `${name}: ${text}`));
        await page.setViewportSize(SIZES.laptop);
        await page.emulateMedia({ colorScheme: 'light' });
        this.wrong.push(...found);
    }

    async picture(page, name) {
        mkdirSync(screenshots, { recursive: true });
        await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
    }

    async pictures() {
        const pages = this.contexts.flatMap((context) => context.pages());
        for (const [at, page] of pages.entries()) {
            await this.picture(page, `failed-${this.name}-${at}`).catch(() => {});
        }
    }
}

/** What axe-core finds on a page, a line for each rule. */
async function violations(page) {
    if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE);
    const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    return result.violations.map(({ id, help, nodes }) => {
        const places = nodes.slice(0, 4).map((node) => `${node.target.join(' ')} ${node.html.slice(0, 160)} [${node.failureSummary.replace(/\s+/g, ' ')}]`);
        return `axe ${id}: ${help} (${nodes.length}×)\n    ${places.join('\n    ')}`;
    });
}

/** What sticks out of a page to the right, if anything does: only the insides of a box that scrolls may. */
function overflow() {
    const root = document.documentElement;
    const width = root.clientWidth;
    if (root.scrollWidth <= width) return null;
    const scrolls = (element) => {
        for (let at = element.parentElement; at && at !== root; at = at.parentElement) {
            if (getComputedStyle(at).overflowX !== 'visible') return true;
        }
        return false;
    };
    const out = [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > width + 1 && !scrolls(element));
    const names = out.slice(0, 3).map((element) => element.cloneNode(false).outerHTML.slice(0, 120));
    return `the page is ${root.scrollWidth} px wide instead of ${width}: ${names.join(' ')}`;
}

/** What stands in a page that none of our templates wrote: the traces of a text that was taken for HTML. */
export function foreign() {
    const unheard = 'script:not([src]), body style, iframe, frame, object, embed, base, math, marquee, video, audio, template, foreignObject, meta[http-equiv]';
    const found = [...document.querySelectorAll(unheard)].map((element) => `there is a ${element.localName}`);
    for (const element of document.querySelectorAll('*')) {
        for (const { name, value } of element.attributes) {
            const runs = name.startsWith('on') || name.startsWith('hx-on') || /^\s*(javascript|vbscript|data):/i.test(value.replace(/[\u0000-\u0020]/g, ''));
            if (runs) found.push(`${element.localName} has ${name}=${value.slice(0, 80)}`);
        }
        for (const address of [element.href, element.src, element.action, element.formAction]) {
            if (typeof address === 'string' && /evil\.invalid/.test(address)) found.push(`${element.localName} leads to ${address}`);
        }
    }
    return found;
}

/** A text as HTML can show it: characters that no page can hold are gone, and white space is one blank. */
export function shown(text) {
    return text.replace(/[\u0000\ufffd]/g, '').replace(/\s+/g, ' ').trim();
}

/** How many bytes a page costs somebody who has never been there: everything that is loaded until nothing more comes. */
export async function weight(stage, url, cookies = []) {
    const page = await stage.person();
    await page.context().addCookies(cookies);
    const session = await page.context().newCDPSession(page);
    await session.send('Network.enable');
    let bytes = 0;
    session.on('Network.loadingFinished', (event) => (bytes += event.encodedDataLength));
    await page.goto(url, { waitUntil: 'load' });
    // The scripts were loaded with the page; whatever they load comes before the next frame but one.
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    await page.context().close();
    return bytes;
}
