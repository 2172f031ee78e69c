import { expect, it } from 'vitest'
import { Cancel } from '../../../src/lib/cancel.ts'

const WHY = new Error('no longer wanted')

it('tells its listeners once, in order, with the first reason', () => {
  const cancel = new Cancel()
  const told: unknown[] = []
  cancel.addEventListener('abort', () => told.push(['one', cancel.reason]))
  cancel.addEventListener('abort', () => told.push(['two', cancel.aborted]))
  expect(cancel.aborted).toBe(false)
  cancel.abort(WHY)
  cancel.abort(new Error('another'))
  expect(told).toEqual([
    ['one', WHY],
    ['two', true],
  ])
  expect(cancel.reason).toBe(WHY)
})

it('forgets who has taken itself away, also while it tells the others', () => {
  const cancel = new Cancel()
  const told: string[] = []
  const last = () => told.push('last')
  const gone = () => told.push('gone')
  cancel.addEventListener('abort', gone)
  cancel.addEventListener('abort', () => {
    told.push('first')
    cancel.removeEventListener('abort', last)
  })
  cancel.addEventListener('abort', last)
  cancel.removeEventListener('abort', gone)
  cancel.abort(WHY)
  cancel.addEventListener('abort', gone)
  expect(told).toEqual(['first'])
})

it('follows a signal, of ours or of the platform, and may be aborted before it', () => {
  const ours = new Cancel()
  const platform = new AbortController()
  const [one, two, early] = [ours, platform.signal, ours].map((signal) => Cancel.following(signal))
  early?.abort(new Error('early'))
  ours.abort(WHY)
  platform.abort(WHY)
  expect([one?.reason, two?.reason, early?.reason]).toEqual([WHY, WHY, new Error('early')])
  expect(Cancel.following(ours).reason).toBe(WHY)
})
