// A machine is added on the page: a wrong fingerprint stops it, a refused login says which line to install, then every check comes.

import { ask, check, play, same } from './driver.mjs';

await play('runner', async (stage) => {
    const { link, base, host, port, user } = stage.input;
    // A form that is not right yet comes back with a 4xx.
    stage.expect(/answered with 4\d\d|status of 4\d\d/);
    const page = await stage.person();
    await page.goto(link);
    await page.goto(`${base}/admin/runners`);
    await page.getByRole('link', { name: 'Add a runner' }).first().click();
    await stage.look(page, 'runner-add');
    await page.getByLabel('Name', { exact: true }).fill('build-9');
    await page.getByLabel('Host', { exact: true }).fill(host);
    await page.getByLabel('Account', { exact: true }).fill(user);
    await page.getByLabel('Port', { exact: true }).fill('99999');
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByRole('alert').waitFor();
    same(await page.getByLabel('Host', { exact: true }).inputValue(), host, 'what was typed');
    await stage.look(page, 'runner-add-wrong');
    await page.getByLabel('Port', { exact: true }).fill(String(port));
    await page.getByRole('button', { name: 'Go on' }).click();

    // The key to compare: another one is refused, the right one goes on.
    const printed = page.getByLabel('What it prints there');
    await printed.fill('256 SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA root@there (ED25519)');
    await page.getByRole('button', { name: /^It is the same/ }).click();
    await page.getByRole('alert').waitFor();
    await stage.look(page, 'runner-other-key');
    const fingerprint = (await page.locator('#fingerprint').innerText()).trim();
    const line = (await page.locator('#public-key').innerText()).trim();
    check(/^ssh-ed25519 /.test(line), `the line to install is ${line}`);
    await printed.fill(fingerprint);
    await page.getByRole('button', { name: /^It is the same/ }).click();

    // Nobody has let the bot in yet.
    await page.getByText(/missing: put it right/).waitFor();
    check((await page.locator('main').innerText()).includes(line.split(' ')[1]), 'the line to install is not there');
    await stage.look(page, 'runner-not-let-in');
    await ask('let the bot in', line);
    await page.getByRole('button', { name: 'Check now' }).click();
    await page.getByText('Nothing is missing').waitFor();
    await stage.look(page, 'runner-checked');

    await page.getByRole('button', { name: 'Drain', exact: true }).click();
    await page.getByRole('button', { name: 'Take runs again' }).waitFor();
    for (const name of ['Edit', 'Reset', 'Remove']) {
        await page.goto(`${base}/admin/runners/build-9`);
        await page.getByRole('link', { name: new RegExp(`^${name}`) }).click();
        await page.getByRole('heading', { level: 1 }).waitFor();
        await stage.look(page, `runner-${name.toLowerCase()}`);
    }
    await page.getByRole('button', { name: 'Remove build-9' }).click();
    await page.getByRole('heading', { name: 'Runners', exact: true }).waitFor();
    same(await page.getByRole('link', { name: 'build-9' }).count(), 0, 'runners that were removed');
});
