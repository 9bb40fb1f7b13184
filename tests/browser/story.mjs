// Somebody who runs the demo: the link on the terminal leads to the board with its finished story, and a label starts a second one that
// is watched to its end without loading a page again.

import { check, play, same } from './driver.mjs';

const FIRST = 'Greet in French, too';
const SECOND = 'A script that prints one greeting';

await play('story', async (stage) => {
    const { link, issue } = stage.input;
    const board = await stage.person();
    const column = (id) => board.locator(`section[aria-labelledby="column-${id}"]`);
    const card = (id, title) => column(id).locator('.card', { hasText: title });
    await board.goto(link);
    await card('done', FIRST).waitFor();
    await stage.look(board, 'demo-board');

    const thread = await board.context().newPage();
    await thread.goto(new URL(await card('done', FIRST).locator('h3 a').getAttribute('href'), board.url()).href);
    same(await thread.locator('h1').innerText(), FIRST, 'the thread');
    await stage.look(thread, 'demo-thread');
    const runs = await thread.locator('main a[href^="/admin/runs/"]').count();
    check(runs >= 2, `the thread leads to ${runs} runs instead of the task and its follow-up`);
    await thread.close();

    // On the simulated GitHub, in a tab of its own.
    const github = await board.context().newPage();
    await github.goto(issue);
    await github.getByLabel('Label').fill('track');
    await github.getByRole('button', { name: 'Put the label on' }).click();
    await github.getByText('track').first().waitFor();

    await card('progress', SECOND).waitFor();
    await stage.look(board, 'demo-board-live');
    const run = await board.context().newPage();
    await run.goto(new URL(await card('progress', SECOND).locator('a[href^="/admin/runs/"]').getAttribute('href'), board.url()).href);
    const main = run.locator('main');
    await main.getByText('One greeting stands on each line').first().waitFor();
    await stage.look(run, 'demo-run-live');
    await main.getByText('usage: ./greet.sh NUMBER').first().waitFor();
    await main.getByText('All three do what they should').first().waitFor({ timeout: 60_000 });

    await card('review', SECOND).waitFor({ timeout: 60_000 });
    same(await card('progress', SECOND).count(), 0, 'cards that are at two places');
    check((await card('review', SECOND).innerText()).includes('Needs you'), 'nobody is told that the pull request waits');
    await run.getByText(/succeeded/i).first().waitFor();
    await stage.look(run, 'demo-run-done');
});
