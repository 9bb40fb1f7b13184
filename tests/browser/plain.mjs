// Somebody without JavaScript: every page is whole, and forms and links do what they say.

import { check, play, same } from './driver.mjs';

await play('plain', async (stage) => {
    const { link, base, pages } = stage.input;
    const page = await stage.person({ javaScriptEnabled: false });
    await page.goto(link);
    for (const { path } of pages) {
        if (!(await stage.open(page, base + path))) continue;
        check((await page.locator('main').innerText()).trim().length > 20, `${path} has nothing to read`);
    }

    // A filter is a form like any other, and stands in the address.
    await page.goto(`${base}/admin`);
    await page.getByRole('searchbox', { name: 'Words' }).fill('nothing is called so');
    await page.getByRole('button', { name: 'Filter' }).click();
    same(new URL(page.url()).searchParams.get('q'), 'nothing is called so', 'the filter in the address');
    same(await page.locator('.card').count(), 0, 'cards');
    await page.getByRole('link', { name: 'Show all' }).click();
    check((await page.locator('.card').count()) > 0, 'no card after the filter was taken away');

    // And so is signing out.
    await page.getByRole('button', { name: 'Sign out' }).click();
    stage.expect(/401/);
    await page.goto(`${base}/admin`);
    same(await page.locator('h1').innerText(), 'Sign in', 'what a browser sees that signed out');
});
