/** What followers of the events are told of the log from before they came. */
import { expect, it } from 'vitest'
import { RecentLines } from '../../../src/obs/recent-lines.ts'

const line = (event: string, number: number, level = 'info') =>
  `{"level":"${level}","time":"2026-01-01T00:00:00.${String(number).padStart(3, '0')}Z","event":"${event}","n":${number}}\n`

it('a flood of one event takes no place of another, and the oldest comes first', () => {
  const recent = new RecentLines()
  recent.add(line('worker.exit', 0, 'error'))
  for (let i = 1; i < 200; i++) recent.add(line('backend.failed', i, 'warn'))
  const all = recent.all().map((text) => JSON.parse(text) as { event: string; n: number })
  expect(all[0]).toMatchObject({ event: 'worker.exit' })
  expect(all).toHaveLength(51)
  expect(all.at(-1)?.n).toBe(199)
})

it('leaves out what is for debugging, what anybody can cause, and what is too long or no line', () => {
  const recent = new RecentLines()
  const heard: string[] = []
  const end = recent.follow((text) => heard.push(text))
  recent.add(line('call.answered', 1, 'debug'))
  recent.add(line('admin.refused', 2, 'warn'))
  recent.add(line('x', 3).replace('"n"', `"${'y'.repeat(5000)}"`))
  recent.add('nonsense')
  recent.add(line('tier.open', 4, 'warn'))
  end()
  recent.add(line('tier.closed', 5))
  expect(heard.map((text) => (JSON.parse(text) as { event: string }).event)).toEqual(['tier.open'])
  expect(recent.all()).toHaveLength(2)
})
