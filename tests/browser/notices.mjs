// The driver itself: it complains about everything that it says it does, on a page that does it all.

import { check, foreign, play } from './driver.mjs';

const PAGE = `<!doctype html><html><title>Bad</title><body style="background: red">
<p style="width: 3000px">wide</p><img src="//evil.invalid/pixel"><img src="/missing.png"><a href="javascript:alert(1)">click</a>
<script src="/bad.js"></script><b onclick="alert(1)">bold</b></body></html>`;
const POLICY = "default-src 'self'; img-src *";

const EXPECTED = [
    /refused by style-src-attr/,
    /asked for something from elsewhere: http:\/\/evil.invalid\/pixel/,
    /missing.png was answered with 404/,
    /an? alert opened .*: hello/,
    /error on .*: thrown on purpose/,
    /axe html-has-lang/,
    /the page is \d+ px wide instead of 1280.*<p/,
    /the page is \d+ px wide instead of 390/,
    /a has href=javascript:/,
    /b has onclick/,
];

await play('notices', async (stage) => {
    const page = await stage.person();
    await page.route('**/*', (route) => {
        const { pathname, hostname } = new URL(route.request().url());
        if (hostname === 'evil.invalid') return route.abort();
        if (pathname === '/bad.js') return route.fulfill({ contentType: 'text/javascript', body: "alert('hello'); throw new Error('thrown on purpose')" });
        if (pathname !== '/') return route.fulfill({ status: 404, contentType: 'text/html', body: 'Not here' });
        return route.fulfill({ contentType: 'text/html', headers: { 'content-security-policy': `${POLICY}; style-src 'self'` }, body: PAGE });
    });
    await page.goto(stage.input.origins[0]);
    // The policy refuses the style that would make it wide.
    await page.evaluate(() => document.querySelector('p').style.setProperty('width', '3000px'));
    await stage.look(page, 'notices');
    const complaints = stage.wrong.splice(0);
    for (const pattern of EXPECTED) check(complaints.some((text) => pattern.test(text)), `nothing like ${pattern} in:\n${complaints.join('\n')}`);
    check((await page.evaluate(foreign)).length === 3, 'what is foreign: a picture, a link and a handler');

    stage.expect(/missing.png/);
    await page.goto(`${stage.input.origins[0]}/missing.png`);
    stage.fail();
});
