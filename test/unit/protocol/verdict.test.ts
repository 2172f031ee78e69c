import { describe, expect, it } from 'vitest'
import { isBackendFailure, isDone, verdictOf, verdictOfStatus } from '../../../src/protocol/verdict.ts'

const shown = (status: number) => {
  const verdict = verdictOfStatus(status)
  const { kind, retry, about = '' } = verdict
  return [kind, retry, about, isBackendFailure(verdict), isDone(verdict)].join(' ')
}

describe('what an HTTP status says', () => {
  it.each([
    ['ok never  false true', [200]],
    ['other never  false true', [201, 202, 204, 206, 301, 304]],
    ['refused never input false true', [400, 404, 413, 415, 422]],
    ['refused never caller false true', [401, 403, 407]],
    ['refused never time false true', [408]],
    ['refused never  false true', [402, 405, 409, 410, 412, 499]],
    ['overloaded elsewhere caller false false', [429]],
    ['failed once  true false', [500]],
    ['failed elsewhere  true false', [502]],
    ['overloaded elsewhere  true false', [503]],
    ['failed elsewhere time true false', [504]],
    ['failed never  true false', [501, 505, 507, 599]],
  ])('%s', (expected, statuses) => {
    for (const status of statuses) expect([status, shown(status)]).toEqual([status, expected])
  })

  it('is the same object for the same status, with a word of its own for each', () => {
    expect(verdictOfStatus(503)).toBe(verdictOfStatus(503))
    expect([verdictOfStatus(503).code, verdictOfStatus(504).code]).toEqual(['status 503', 'status 504'])
  })
})

it('a dialect may have a word of its own', () => {
  const reply = { status: 200, headers: ['x-status', '14'], body: new Uint8Array(0) }
  const verdict = { kind: 'overloaded', retry: 'elsewhere', code: 'x 14' } as const
  expect(
    verdictOf({ verdict: ({ headers }) => (headers[1] === '14' ? verdict : verdictOfStatus(0)) }, reply),
  ).toBe(verdict)
  expect(verdictOf({}, reply).kind).toBe('ok')
})
