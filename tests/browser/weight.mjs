// What the first page costs somebody who has never been there, and how soon a change is seen.

import { ask, check, play, tell, weight } from './driver.mjs';

const LIMIT = 60 * 1024;

await play('weight', async (stage) => {
    const { link, base, run } = stage.input;
    const page = await stage.person();
    await page.goto(link);
    const cookies = await page.context().cookies();
    for (const [name, url] of [['the page to sign in', `${base}/admin/sign-in`], ['the board', `${base}/admin`], ['a run', `${base}/admin/runs/${run}`]]) {
        const bytes = await weight(stage, url, name === 'the page to sign in' ? [] : cookies);
        tell(`${name} takes ${(bytes / 1024).toFixed(1)} KiB with a cold cache`);
        check(bytes > 0 && bytes <= LIMIT, `${name} takes ${bytes} bytes`);
    }

    // The time from the commit in the database to the change in the document, which the page itself looks for.
    await page.goto(`${base}/admin`);
    await page.locator('.board').waitFor();
    const times = [];
    for (let n = 0; n < 5; n += 1) {
        const title = `Change ${n}`;
        const seen = page.evaluate(
            (text) =>
                new Promise((resolve) => {
                    const look = () => document.body.textContent.includes(text) && resolve(Date.now());
                    new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
                    look();
                }),
            title,
        );
        const committed = await ask('a change', title);
        times.push((await seen) - committed);
    }
    times.sort((a, b) => a - b);
    tell(`a change of the board is seen after ${times.join(', ')} ms`);
});
