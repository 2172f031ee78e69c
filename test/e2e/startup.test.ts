/** What a start costs: packages that the settings have no use for are not loaded. */
import { expect, it } from 'vitest'
import { startBackend } from '../support/backend.ts'
import { startGateway } from '../support/gateway.ts'
import { instances, PREDICT } from '../support/settings.ts'

/** Says on stderr which modules are loaded. */
const HOOK = `
import { registerHooks } from 'node:module'
import { writeSync } from 'node:fs'
registerHooks({
  load(url, context, next) {
    writeSync(2, 'loaded ' + url + '\\n')
    return next(url, context)
  },
})`

it('loads no package that is not in the bundle for a gateway in front of plain HTTP, not even with the first calls', async () => {
  const backend = await startBackend()
  const gateway = await startGateway({
    args: ['--upstream', backend.url],
    env: { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(HOOK)}` },
  })
  await gateway.up()
  await gateway.ready('upstream')
  expect((await gateway.post(PREDICT, instances(1))).headers['cache-status']).toMatch(/fwd=miss/)
  const loaded = [...gateway.stderr().matchAll(/^loaded (.*)$/gm)].map(([, url]) => url)
  expect(loaded).toContainEqual(expect.stringMatching(/\/gateway\/main\.js$/))
  expect(loaded.filter((url) => url?.includes('/node_modules/'))).toEqual([])
  await gateway.stop()
  await backend.close()
})
