// Signing in through GitHub as an admin, as somebody who may write, and as a stranger; by a link, which works once; and signing out.

import { check, play, same } from './driver.mjs';

/** From the wall of track through GitHub's page. */
async function through(page, url, person, decision) {
    await page.goto(url);
    await page.getByRole('button', { name: 'Sign in with GitHub' }).click();
    await page.getByRole('heading', { name: /Authorize/ }).waitFor();
    const choice = page.getByRole('combobox');
    if (await choice.count()) await choice.selectOption(person);
    await page.getByRole('button', { name: decision }).click();
}

await play('sign-in', async (stage) => {
    const { base, run, admin, writer, stranger, link } = stage.input;
    // A wall is a 401, a refusal a 403.
    stage.expect(/401|403/);

    const page = await stage.person();
    await page.goto(`${base}/admin/runs/${run}`);
    same(await page.locator('h1').innerText(), 'Sign in', 'what nobody sees');
    await stage.look(page, 'sign-in');
    await through(page, `${base}/admin/runs/${run}`, admin, /^Authorize/);
    await page.waitForURL(`${base}/admin/runs/${run}`);
    check((await page.locator('header').innerText()).includes(admin), 'the page does not say who is there');
    const cookies = await page.context().cookies();
    check(cookies.length > 0, 'there is no cookie');
    for (const { name, httpOnly, secure, sameSite } of cookies) {
        check(name.startsWith('__Host-') && httpOnly && secure && sameSite === 'Lax', `the cookie ${name} is not as strict as it could be`);
    }
    same(await page.evaluate(() => document.cookie), '', 'what scripts see of the cookie');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.goto(`${base}/admin`);
    same(await page.locator('h1').innerText(), 'Sign in', 'what a browser sees that signed out');

    const undecided = await stage.person();
    await through(undecided, `${base}/admin`, admin, 'Cancel');
    await undecided.getByRole('alert').waitFor();
    same(await undecided.locator('h1').innerText(), 'Sign in', 'where somebody is who changed their mind');
    await stage.look(undecided, 'sign-in-canceled');

    const viewer = await stage.person();
    await through(viewer, `${base}/admin`, writer, /^Authorize/);
    await viewer.getByRole('heading', { name: 'Board' }).waitFor();
    check((await viewer.locator('header').innerText()).includes('viewer'), 'a viewer is not told that they are one');
    same(await viewer.getByRole('link', { name: 'Settings' }).count(), 0, 'ways to what only admins see');
    await stage.look(viewer, 'board-viewer');
    const refused = await viewer.goto(`${base}/admin/deliveries`);
    same(refused.status(), 403, 'the answer to a viewer who asks for deliveries');
    await stage.look(viewer, 'refused');

    const nobody = await stage.person();
    await through(nobody, `${base}/admin`, stranger, /^Authorize/);
    await nobody.getByRole('alert').waitFor();
    await stage.look(nobody, 'sign-in-stranger');
    await nobody.goto(`${base}/admin`);
    same(await nobody.locator('h1').innerText(), 'Sign in', 'what a stranger sees');

    const byLink = await stage.person();
    await byLink.goto(link);
    await byLink.getByRole('heading', { name: 'Board' }).waitFor();
    const second = await stage.person();
    await second.goto(link);
    await second.getByRole('alert').waitFor();
    same(await second.locator('h1').innerText(), 'Sign in', 'what a link shows that was used before');
});
