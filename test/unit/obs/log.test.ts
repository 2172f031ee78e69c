/** The log of the process where nobody reads it. */
import { execFileSync } from 'node:child_process'
import { constants, createReadStream, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, it } from 'vitest'
import { createLog } from '../../../src/obs/log.ts'

it('holds nobody up while it is not read: lines beyond 8 MiB are lost and counted, which is said later', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'infergate-log-'))
  const pipe = join(folder, 'log')
  execFileSync('mkfifo', [pipe])
  // Open for reading too, so that opening does not wait for a reader.
  const log = createLog({ level: 'info', file: openSync(pipe, constants.O_RDWR) })
  const text = 'x'.repeat(1_000)
  for (let line = 0; line < 10_000; line++) log.info('test.line', { text })
  expect(log.lost).toBeGreaterThan(1_000)
  const lost = log.lost

  const reader = createReadStream(pipe)
  let read = 0
  for await (const line of createInterface(reader)) {
    const { event, lines } = JSON.parse(line) as { event: string; lines?: number }
    if (event === 'log.lost') {
      expect(lines).toBe(lost)
      break
    }
    read++
  }
  expect(read).toBe(10_000 - lost)
  expect(log.lost).toBe(lost)
  reader.destroy()
  await log.close()
  rmSync(folder, { recursive: true })
})
