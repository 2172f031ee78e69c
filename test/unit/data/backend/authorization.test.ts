/** How the gateway's own credential gets into a request, and that the caller's does not stay beside it. */
import { expect, it } from 'vitest'
import { Authorization } from '../../../../src/data/backend/authorization.ts'

const url = 'http://127.0.0.1:1'
const of = (header: string) => new Authorization({ header, value: 'ours', urls: [url], hosts: [] })

it('replaces the field in every spelling, and leaves the others', () => {
  const headers = ['Accept', '*/*', 'X-Api-Key', 'a', 'x_api_key', 'b', 'X-API_KEY', 'c', 'x-api-keys', 'd']
  expect(of('x-api-key').headers({ url, method: 'GET', headers })).toEqual([
    'Accept',
    '*/*',
    'x-api-keys',
    'd',
    'x-api-key',
    'ours',
  ])
})

it('is the same list for the same list, of which the text of a head is remembered', () => {
  const authorization = of('authorization')
  const headers = ['accept', '*/*']
  const once = authorization.headers({ url, method: 'POST', headers })
  expect(authorization.headers({ url, method: 'POST', headers })).toBe(once)
})

it('is not in a TRACE, whose answer repeats what was sent', () => {
  const headers = ['Authorization', 'theirs', 'a', 'b']
  expect(of('authorization').headers({ url, method: 'TRACE', headers })).toEqual(['a', 'b'])
})

it('is not for a backend that may not have it', () => {
  expect(of('authorization').headers({ url: 'http://127.0.0.1:2', method: 'GET', headers: [] })).toBe(
    undefined,
  )
})
