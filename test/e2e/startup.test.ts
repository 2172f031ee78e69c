/** What a start costs: packages that the settings have no use for are not loaded. */
import { expect, it } from 'vitest'
import { startBackend } from '../support/backend.ts'
import { startGateway } from '../support/gateway.ts'
import { instances, PREDICT } from '../support/settings.ts'

/** Says on stderr which package each module belongs to, as it is loaded. */
const HOOK = `
import { registerHooks } from 'node:module'
import { writeSync } from 'node:fs'
registerHooks({
  load(url, context, next) {
    const name = /.*node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1]
    if (name) writeSync(2, 'loaded ' + name + '\\n')
    return next(url, context)
  },
})`

it('loads nothing heavy for a gateway in front of plain HTTP, not even with the first calls', async () => {
  const backend = await startBackend()
  const gateway = await startGateway({
    args: ['--upstream', backend.url],
    env: { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(HOOK)}` },
  })
  await gateway.up()
  await gateway.ready('upstream')
  expect((await gateway.post(PREDICT, instances(1))).headers['cache-status']).toMatch(/fwd=miss/)
  const loaded = new Set([...gateway.stderr().matchAll(/^loaded (.*)$/gm)].map(([, name]) => name))
  // The hook sees what it is to see.
  expect(loaded).toContain('zod')
  const heavy = ['onnxruntime-node', '@grpc/grpc-js', '@grpc/proto-loader', 'autocannon', 'undici']
  expect(heavy.filter((name) => loaded.has(name))).toEqual([])
  await gateway.stop()
  await backend.close()
})
