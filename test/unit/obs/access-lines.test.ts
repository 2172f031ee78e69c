/** Lines of the access log in the log: they may fill half of its buffer, and what does not fit is counted. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { createLog } from '../../../src/obs/log.ts'

it('are written as they are, among the others', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'infergate-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'log')
  const log = createLog({ level: 'info', file })
  log.info('before')
  expect(log.writeLines(['{"event":"call"}', '{"event":"call","n":2}'])).toBe(0)
  log.info('after')
  await log.close()
  const events = readFileSync(file, 'utf8').trim().split('\n')
  expect(events.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual([
    'before',
    'call',
    'call',
    'after',
  ])
})

it('are lost where nothing can be written, and leave room for the log itself', async () => {
  const log = createLog({ level: 'info', file: '/dev/full' })
  onTestFinished(() => log.close())
  const line = 'x'.repeat(1 << 20)
  expect(log.writeLines([line, line, line])).toBe(0)
  expect(log.writeLines([line, line, line])).toBe(2)
  expect(log.writeLines([line])).toBe(1)
})
