// What the keyboard does, and that a change of the page is no reason to lose one's place.

import { ask, check, play, same, until } from './driver.mjs';

await play('keys', async (stage) => {
    const { link, base } = stage.input;
    const page = await stage.person();
    await page.goto(link);

    await page.keyboard.press('Tab');
    same(await page.evaluate(() => document.activeElement.textContent), 'Skip to content', 'the first stop of the Tab key');
    await page.keyboard.press('Enter');
    same(await page.evaluate(() => document.activeElement.id), 'main', 'where it leads');

    await page.keyboard.press('?');
    const keys = page.getByRole('dialog', { name: 'Keys' });
    await keys.waitFor();
    await stage.look(page, 'keys');
    await page.keyboard.press('Escape');
    await keys.waitFor({ state: 'hidden' });

    await page.keyboard.press('/');
    same(await page.evaluate(() => document.activeElement.name), 'q', 'the filter');
    await page.keyboard.type('?');
    same(await page.locator('dialog[open]').count(), 0, 'lists of keys that open in the middle of a word');
    await page.locator('h1').click();

    await page.keyboard.press('j');
    const card = await page.evaluate(() => document.activeElement.id);
    check(card.startsWith('to-'), `j leads to ${card}`);
    // The board changes meanwhile, and the card keeps the focus.
    await ask('another issue');
    await page.getByRole('link', { name: 'Another one' }).waitFor();
    await until('the focus is where it was', () => page.evaluate((id) => document.activeElement.id === id, card));

    for (const [key, path] of [['r', '/admin/runs'], ['u', '/admin/usage'], ['m', '/admin/runners'], ['h', '/admin/health'], ['b', '/admin']]) {
        await page.keyboard.press('g');
        await page.keyboard.press(key);
        await page.waitForURL(base + path);
    }
    await page.keyboard.press('n');
    await page.waitForURL(`${base}/admin/new`);
});
