// A task that is made on the page becomes a pull request, and a follow-up that is asked for on its thread becomes a second run: all of it
// watched where it was asked for, without loading a page again.

import { check, play, same } from './driver.mjs';

await play('task', async (stage) => {
    const { link, base } = stage.input;
    const page = await stage.person();
    await page.goto(link);
    await page.getByRole('link', { name: 'New task' }).first().click();
    // What is missing is told before anything is sent.
    await page.getByRole('button', { name: 'Make the task' }).click();
    same(new URL(page.url()).pathname, '/admin/new', 'where a form without a title leads');
    await page.getByLabel('Title').fill('Say hello, quietly');
    await page.getByLabel('Text').fill('Please add `hello.txt`.');
    await page.getByLabel(/^Private/).check();
    await page.getByLabel('Start work on it at once').check();
    await page.getByRole('button', { name: 'Make the task' }).click();

    await page.getByRole('heading', { level: 1, name: 'Say hello, quietly' }).waitFor();
    const thread = new URL(page.url()).pathname;
    check(thread.startsWith('/admin/threads/'), `a new task leads to ${thread}`);
    const main = page.locator('main');
    const state = main.locator('section', { has: page.getByRole('heading', { name: 'State' }) });
    await state.getByText('succeeded').first().waitFor();
    await stage.look(page, 'task-thread');

    await page.getByLabel('Instructions').fill('Say it louder');
    await page.getByRole('button', { name: 'Follow up' }).click();
    await page.getByRole('status').waitFor();
    await page.getByRole('link', { name: 'Watch the run' }).click();
    await page.getByText('succeeded').first().waitFor();
    // What is for runs that go on is gone with the end, and nobody loaded the page again.
    same(await page.getByRole('button', { name: 'Cancel this run' }).isVisible(), false, 'the button to cancel what is over');
    await page.goto(`${base}${thread}`);
    check((await main.locator('a[href^="/admin/runs/"]').count()) >= 2, 'the thread does not know both runs');
});
