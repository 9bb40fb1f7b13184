// Titles that try to run something are text on every page: they are there to be read, and nothing else is there.

import { check, foreign, play, shown, tell } from './driver.mjs';

await play('hostile', async (stage) => {
    const page = await stage.person();
    if (stage.input.link) await page.goto(stage.input.link);
    let looked = 0;
    const look = async (url) => {
        await page.goto(url);
        // Whatever waits for a pointer or the keyboard gets one.
        await page.mouse.move(200, 200);
        await page.keyboard.press('Tab');
        stage.wrong.push(...(await page.evaluate(foreign)).map((text) => `${url}: ${text}`));
        stage.fail();
        looked += 1;
        return shown(await page.evaluate(() => document.body.textContent));
    };
    for (const { url, titles } of stage.input.pages) {
        const text = await look(url);
        for (const title of titles) check(text.includes(shown(title)), `${url} does not show ${JSON.stringify(title)}`);
    }
    // Lists go on over several pages.
    for (const { url, titles } of stage.input.lists ?? []) {
        let text = '';
        for (let next = url; next; ) {
            text += await look(next);
            const older = page.getByRole('link', { name: /^Older/ });
            next = (await older.count()) ? await older.first().evaluate((link) => link.href) : null;
        }
        const missing = titles.filter((title) => !text.includes(shown(title)));
        check(missing.length === 0, `${url} does not show ${missing.length} of ${titles.length}: ${JSON.stringify(missing.slice(0, 9))}`);
    }
    tell(`${looked} pages looked at`);
});
