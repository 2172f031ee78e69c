/** Sockets that a service manager hands over, by their number in the environment. */
import { expect, it } from 'vitest'
import { takeInheritedSockets } from '../../../src/cli/inherited-sockets.ts'

it.each([
  ['one', { LISTEN_PID: '7', LISTEN_FDS: '1' }, [3]],
  ['one a worker', { LISTEN_PID: '7', LISTEN_FDS: '3' }, [3, 4, 5]],
  ['none', {}, []],
  ['those of another process', { LISTEN_PID: '8', LISTEN_FDS: '1' }, []],
  ['no number', { LISTEN_PID: '7', LISTEN_FDS: 'x' }, []],
  ['none of so many', { LISTEN_PID: '7', LISTEN_FDS: '100000' }, []],
])('finds %s', (_, given, found) => {
  const env: NodeJS.ProcessEnv = { ...given, LISTEN_FDNAMES: 'a:b', PATH: '/bin' }
  expect(takeInheritedSockets(env, 7)).toEqual(found)
  // Children would take them for theirs.
  expect(Object.keys(env)).toEqual(['PATH'])
})
