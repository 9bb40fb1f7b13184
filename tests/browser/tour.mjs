// Every page that the router has, as an admin sees it: with a name, within its width, nothing for axe to find, in all four looks.

import { check, play, tell } from './driver.mjs';

await play('tour', async (stage) => {
    const { link, base, pages, prefix } = stage.input;
    const page = await stage.person();
    await page.goto(link);
    check(page.url().startsWith(`${base}/admin`), `the link leads to ${page.url()}`);
    let seen = 0;
    for (const { path, name } of pages) {
        if (!(await stage.open(page, base + path))) continue;
        const headings = await page.locator('h1').allInnerTexts();
        check(headings.length === 1 && headings[0].trim() !== '', `${path} has the headings ${JSON.stringify(headings)}`);
        check((await page.title()).endsWith('· track'), `${path} is called ${await page.title()}`);
        await stage.look(page, `${prefix}${name}`);
        seen += 1;
    }
    check(seen > 0, 'there is no page');
    tell(`${seen} pages looked at`);
});
