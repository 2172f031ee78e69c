import { describe, expect, it } from 'vitest'
import { HostSet } from '../../../src/core/host-set.ts'
import { readRedirect } from '../../../src/store/redirect.ts'

const hosts = new HostSet(['dn1', '*.data.example', '10.1.0.0/16', '[fd00::7]'])
const rules = { isTls: false, path: '/webhdfs/v1/models/a b', op: 'OPEN', hosts }
const TAIL = '/webhdfs/v1/models/a%20b?op=OPEN&delegation=SECRET&namenoderpcaddress=nn:8020'

describe('the one redirect of WebHDFS', () => {
  it.each([
    ['a host by name', `http://dn1:9864${TAIL}`],
    ['a host in a domain', `http://n7.data.example:9864${TAIL}`],
    ['an address in a range', `http://10.1.200.3:9864${TAIL}`],
    ['an IPv6 address', `http://[fd00::7]:9864${TAIL}`],
    ['a host in capitals', `http://DN1:9864${TAIL}`],
    ['TLS after plain http', `https://dn1:9865${TAIL}`],
    ['the operation in lower case', `http://dn1:9864${TAIL.replace('OPEN', 'open')}`],
    ['no port', `http://dn1${TAIL}`],
  ])('is followed to %s, character by character', (_, location) => {
    const to = readRedirect(location, rules)
    expect('origin' in to && to.origin + to.target).toBe(location)
  })

  it.each([
    ['another host', `http://evil:9864${TAIL}`, 'dataNodes'],
    ['a host that begins alike', `http://dn1.evil:9864${TAIL}`, 'dataNodes'],
    ['the domain alone, which the pattern does not name', `http://data.example${TAIL}`, 'dataNodes'],
    ['an address outside of the ranges', `http://10.2.0.1:9864${TAIL}`, 'dataNodes'],
    ['a number that is an address elsewhere', `http://0x0a010001:9864${TAIL}`, 'dataNodes'],
    ['credentials in front of the host', `http://dn1@evil:9864${TAIL}`, 'no plain'],
    ['a backslash', `http://dn1\\@evil:9864${TAIL}`, 'no plain'],
    ['a fragment', `http://dn1:9864${TAIL}#x`, 'no plain'],
    ['a line feed', `http://dn1:9864${TAIL}\nhost: evil`, 'no plain'],
    ['another scheme', `ftp://dn1${TAIL}`, 'no plain'],
    ['a path without a host', TAIL, 'no plain'],
    ['no place at all', undefined, 'no Location'],
    ['a port that is none', `http://dn1:99999${TAIL}`, 'no plain'],
    ['another path', 'http://dn1/webhdfs/v1/other?op=OPEN', 'another path'],
    ['the path and more', 'http://dn1/webhdfs/v1/models/a%20b/c?op=OPEN', 'another path'],
    ['a path with a bad escape', 'http://dn1/webhdfs/v1/models/a%2?op=OPEN', 'another path'],
    ['another operation', 'http://dn1/webhdfs/v1/models/a%20b?op=DELETE', 'another operation'],
    ['two operations', 'http://dn1/webhdfs/v1/models/a%20b?op=OPEN&OP=DELETE', 'another operation'],
    ['no operation', 'http://dn1/webhdfs/v1/models/a%20b', 'another operation'],
  ])('is refused to %s, and the query is not repeated', (_, location, why) => {
    const to = readRedirect(location, rules)
    expect('problem' in to && to.problem).toContain(why)
    expect(JSON.stringify(to)).not.toContain('SECRET')
  })

  it('is never from TLS to plain http', () => {
    const to = readRedirect(`http://dn1:9864${TAIL}`, { ...rules, isTls: true })
    expect('problem' in to && to.problem).toContain('from TLS to plain')
  })
})
