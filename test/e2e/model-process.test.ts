/** The embedded model's process: restarted when it dies, and never left behind. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { startGateway } from '../support/gateway.ts'

const sample = readFileSync(new URL('../../models/samples/digit-3.v1.json', import.meta.url), 'utf8')
const PREDICT = '/v1/models/digits:predict'

const childrenOf = (pid: number) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

it('is started again when it is killed; what is cached is answered meanwhile', async () => {
  const gateway = await startGateway()
  await gateway.up()
  await gateway.post(PREDICT, sample)
  const [first] = childrenOf(gateway.pid)
  process.kill(first as number, 'SIGKILL')
  const hit = await gateway.post(PREDICT, sample)
  expect(hit.headers['cache-status']).toMatch(/; hit;/)

  const answer = await eventually(
    async () => {
      const { status, text, json } = await gateway.post(PREDICT, sample, { 'cache-control': 'no-cache' })
      if (status !== 200) throw new Error(text)
      return json
    },
    { timeoutMs: 15_000 },
  )
  expect(answer).toMatchObject({ predictions: [{ digit: 3 }] })
  const [second] = childrenOf(gateway.pid)
  expect(second).not.toBe(first)
  expect(await gateway.metric('infergate_model_process_exits_total', { model: 'digits' })).toBe(1)

  gateway.signal('SIGKILL')
  await gateway.exited
  await eventually(() => expect(isRunning(second as number)).toBe(false), { timeoutMs: 10_000 })
})
