/** A list of backends is read beside the event loop, and whatever it holds, its reading ends. */
import { expect, it } from 'vitest'
import { readBackendList } from '../../../src/app/backend-list/backend-list.ts'

const { signal } = new AbortController()

it.each([
  '- http://one:80\n- url: http://two\n  weight: 2\n',
  '["http://one:80", {"url": "http://two", "weight": 2}]',
])('YAML and JSON: %j', async (text) => {
  const backends = [{ url: 'http://one' }, { url: 'http://two', weight: 2 }]
  expect(await readBackendList(text, signal)).toEqual(backends)
})

it.each([
  ['- "http://', /^1:\d+: /],
  ['servers: []', /"backends"/],
  ['- ftp://one', /backend 1.*scheme/],
])('what is wrong is said: %j', async (text, message) => {
  await expect(readBackendList(text, signal)).rejects.toThrow(message)
})

it('brackets without end block nobody, and are given up when the source stops', async () => {
  const stop = new AbortController()
  const read = readBackendList('['.repeat(4e6), stop.signal)
  read.catch(() => {})
  // Timers fire meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 50))
  stop.abort()
  await expect(read).rejects.toThrow('ended with')
})
