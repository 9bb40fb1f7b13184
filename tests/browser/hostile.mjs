// Titles that try to run something are text on every page: they are there to be read, and nothing else is there.

import { check, foreign, play, shown } from './driver.mjs';

await play('hostile', async (stage) => {
    const page = await stage.person();
    for (const { url, titles } of stage.input.pages) {
        await page.goto(url);
        const text = shown(await page.evaluate(() => document.body.textContent));
        for (const title of titles) check(text.includes(shown(title)), `${url} does not show ${JSON.stringify(title)}`);
        stage.wrong.push(...(await page.evaluate(foreign)));
        // Whatever waits for a pointer or the keyboard gets one.
        await page.mouse.move(200, 200);
        await page.keyboard.press('Tab');
        stage.fail();
    }
});
