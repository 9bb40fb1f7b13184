// A run is watched while its agent works: what it says appears, nothing jumps, and the button ends it.

import { ask, check, play, same, until } from './driver.mjs';

await play('live', async (stage) => {
    const { link, base, run } = stage.input;
    const page = await stage.person();
    await page.goto(link);
    await page.getByRole('link', { name: 'Say hello' }).first().waitFor();
    await page.goto(`${base}/admin/runs/${run}`);
    const main = page.locator('main');
    const log = page.locator('[data-log]');
    await log.getByText('Looking around').waitFor();

    // Somebody reads the beginning with following switched off: new output does not take it away from them.
    const follow = page.locator('[data-follow]');
    if ((await follow.count()) && (await follow.isChecked())) await follow.uncheck();
    await page.evaluate(() => window.scrollTo({ top: 40 }));
    const before = await page.evaluate(() => window.scrollY);
    await ask('say', 'half way there');
    await log.getByText('half way there').waitFor();
    same(await page.evaluate(() => window.scrollY), before, 'how far it is scrolled');
    await stage.look(page, 'run-live');

    // The connection is cut and comes back: nothing is missing, nothing is there twice.
    stage.expect(/ERR_INTERNET_DISCONNECTED|ERR_NETWORK_CHANGED|\[object Event\]/);
    await page.context().setOffline(true);
    await ask('say', 'said meanwhile');
    await page.context().setOffline(false);
    await log.getByText('said meanwhile').waitFor();
    same(await log.getByText('half way there').count(), 1, 'how often a message is there');

    await page.getByRole('button', { name: /^Cancel/ }).first().click();
    await until('the run is canceled', async () => /canceled/i.test(await main.innerText()));
    await page.getByRole('button', { name: 'Retry' }).waitFor();
    same(await page.getByRole('button', { name: 'Cancel this run' }).count(), 0, 'buttons to cancel what is over');
    await page.getByRole('link', { name: 'Raw journal' }).waitFor();
    await ask('over');
    stage.fail();
});
