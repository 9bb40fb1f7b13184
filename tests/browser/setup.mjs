// From the link on the terminal to a bot that serves: the App is made on GitHub's own page, installed, and the browser stays signed in.

import { check, play, same } from './driver.mjs';

await play('setup', async (stage) => {
    const { link, github, person } = stage.input;
    const page = await stage.person();

    // Without the link there is nothing to see.
    const stranger = await stage.person();
    stage.expect(/answered with (401|403|404|422|503)|status of (401|403|404|422|503)/);
    await stranger.goto(new URL('/setup', link).href);
    same(await stranger.locator('form[action="/setup/app"]').count(), 0, 'forms of somebody without the link');

    await page.goto(link);
    await stage.look(page, 'setup-app');
    // An answer that is wrong stays, with what to change.
    await page.getByLabel('Your login on GitHub').fill(person);
    const address = page.getByLabel('Address of this bot');
    const right = await address.inputValue();
    await address.fill('not an address');
    await page.getByRole('button', { name: /^Next/ }).click();
    await page.getByRole('alert').waitFor();
    same(await address.inputValue(), 'not an address', 'what was typed');
    await stage.look(page, 'setup-app-wrong');
    await address.fill(right);
    const server = page.getByLabel('Where you open GitHub');
    if (!(await server.isVisible())) await page.getByText('Another name, or GitHub Enterprise').click();
    await server.fill(github);
    await page.getByRole('button', { name: /^Next/ }).click();
    await stage.look(page, 'setup-go');

    await page.getByRole('button', { name: /^Create .* on GitHub$/ }).click();
    const choice = page.getByRole('combobox');
    if (await choice.count()) await choice.first().selectOption(person);
    await page.getByRole('button', { name: /^Create GitHub App/ }).click();

    const install = page.getByRole('link', { name: 'Install it on GitHub' });
    await install.waitFor();
    check(page.url().startsWith(new URL('/', link).href), `GitHub led to ${page.url()}`);
    check((await page.locator('header').innerText()).includes(person), 'whoever set it up is not signed in');
    await stage.look(page, 'setup-checklist');

    await install.click();
    const box = page.locator('form', { hasText: person });
    await box.getByLabel('All repositories').check();
    await box.getByRole('button', { name: /^Install/ }).click();
    await page.getByText(/It reaches 1 repository/).waitFor();
    await stage.look(page, 'setup-installed');

    // The link is of no use to anybody else now.
    await stranger.goto(link);
    same(await stranger.locator('form[action="/setup/app"]').count(), 0, 'forms of somebody with the link of before');
    await page.goto(new URL('/admin', link).href);
    await page.getByRole('heading', { name: 'Board' }).waitFor();
});
