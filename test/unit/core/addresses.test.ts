/** Which addresses a backend may have, and the one form of its URL. */
import { describe, expect, test } from 'vitest'
import {
  addressRefusal,
  createAddressRules,
  isLoopback,
  parseBackendUrl,
} from '../../../src/core/addresses.ts'

describe('an address', () => {
  const rules = createAddressRules()

  test.each([
    '127.0.0.1',
    '10.1.2.3',
    '192.168.0.7',
    '93.184.216.34',
    '::1',
    'fd12::1',
    '2001:db8::5',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
  ])('%s is allowed', (ip) => {
    expect(addressRefusal(ip, 80, rules)).toBeUndefined()
  })

  test.each([
    ['169.254.169.254', 'metadata'],
    ['169.254.170.2', 'metadata'],
    ['100.100.100.200', 'metadata'],
    ['fd00:ec2::254', 'metadata'],
    ['169.254.1.1', 'link-local'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'link-local'],
    ['febf::1', 'link-local'],
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['::', 'unspecified'],
    ['255.255.255.255', 'broadcast'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.250', 'multicast'],
    ['ff02::1', 'multicast'],
    ['::ffff:169.254.169.254', 'metadata'],
    ['::ffff:a9fe:a9fe', 'metadata'],
    ['0:0:0:0:0:ffff:a9fe:1', 'link-local'],
    ['::169.254.169.254', 'metadata'],
    ['::ffff:0:a9fe:a9fe', 'metadata'],
    ['64:ff9b::169.254.169.254', 'metadata'],
    ['64:ff9b:1::a9fe:a9fe', 'metadata'],
    ['2002:a9fe:a9fe::1', 'metadata'],
    ['::ffff:0.0.0.0', 'unspecified'],
    ['64:ff9b::e000:1', 'multicast'],
    ['example.org', 'not an IP address'],
  ])('%s is refused: %s', (ip, reason) => {
    expect(addressRefusal(ip, 80, rules)).toMatch(reason)
  })

  test('is allowed when a CIDR says so, and only what the CIDR covers', () => {
    const allowing = createAddressRules({ allow: ['169.254.7.0/24', 'fe80::/64'] })
    expect(addressRefusal('169.254.7.1', 80, allowing)).toBeUndefined()
    expect(addressRefusal('::ffff:169.254.7.1', 80, allowing)).toBeUndefined()
    expect(addressRefusal('fe80::9', 80, allowing)).toBeUndefined()
    expect(addressRefusal('169.254.169.254', 80, allowing)).toMatch('metadata')
  })

  test('of one of our own listeners is refused, whatever is allowed', () => {
    const own = [
      { host: '127.0.0.1', port: 9090 },
      { host: '0.0.0.0', port: 8080 },
    ]
    const ours = createAddressRules({
      allow: ['0.0.0.0/0'],
      ownListeners: own,
      localAddresses: () => ['10.0.0.9', 'fe80::2%eth0'],
    })
    expect(addressRefusal('127.0.0.1', 9090, ours)).toMatch('own listeners')
    expect(addressRefusal('::ffff:127.0.0.1', 9090, ours)).toMatch('own listeners')
    expect(addressRefusal('127.0.0.2', 9090, ours)).toBeUndefined()
    expect(addressRefusal('127.0.0.1', 9091, ours)).toBeUndefined()
    expect(addressRefusal('127.9.9.9', 8080, ours)).toMatch('own listeners')
    expect(addressRefusal('::1', 8080, ours)).toMatch('own listeners')
    expect(addressRefusal('10.0.0.9', 8080, ours)).toMatch('own listeners')
    expect(addressRefusal('fe80:0::2', 8080, ours)).toMatch('own listeners')
    expect(addressRefusal('10.0.0.8', 8080, ours)).toBeUndefined()
  })

  test.each(['10.0.0.0/33', 'nonsense', '10.0.0.0/', '10.0.0.0/8/8', 'fd00::/129', '10.0.0.0/-1'])(
    'range written %s is refused by name',
    (cidr) => {
      expect(() => createAddressRules({ allow: [cidr] })).toThrow(cidr)
    },
  )

  test('is loopback in every spelling of it', () => {
    expect(['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1'].map(isLoopback)).toEqual([
      true,
      true,
      true,
      true,
    ])
    expect(['10.0.0.1', '::', '::ffff:10.0.0.1', 'localhost'].map(isLoopback)).toEqual([
      false,
      false,
      false,
      false,
    ])
  })
})

describe("a backend's URL", () => {
  const rules = createAddressRules({ ownListeners: [{ host: '127.0.0.1', port: 9090 }] })

  test.each([
    ['http://127.0.0.1:8501', 'http://127.0.0.1:8501'],
    ['http://127.0.0.1:8501/', 'http://127.0.0.1:8501'],
    ['HTTP://Model.Example:80/v1/', 'http://model.example/v1'],
    ['https://model.example:443', 'https://model.example'],
    ['http://[2001:DB8::1]:8000/a/b', 'http://[2001:db8::1]:8000/a/b'],
    ['http://0x7f.1:8000', 'http://127.0.0.1:8000'],
  ])('%s is %s', (given, wanted) => {
    expect(parseBackendUrl(given, rules)).toEqual({ url: wanted })
  })

  test.each([
    ['model:8000', 'scheme'],
    ['/v1', 'not a URL'],
    ['', 'not a URL'],
    ['ftp://model:8000', 'scheme'],
    ['file:///etc/passwd', 'scheme'],
    ['http://user:secret@model:8000', 'credentials'],
    ['http://model:0', 'port 0'],
    ['http://model:8000/?a=1', 'query'],
    ['http://model:8000/#a', 'fragment'],
    ['http://model:8000/a//b', 'prefix'],
    ['http://model:8000/%2e%2e/x%2fy', 'prefix'],
    ['http://mo\tdel:8000', 'control'],
    ['http:\\\\model', 'backslash'],
    ['http://169.254.169.254/latest', 'metadata'],
    ['http://0xa9fea9fe/', 'metadata'],
    ['http://[::ffff:169.254.169.254]/', 'metadata'],
    ['http://0.0.0.0:80', 'unspecified'],
    ['http://127.0.0.1:9090', 'own listeners'],
    [`http://${'a'.repeat(3000)}`, 'longer'],
  ])('%s is refused: %s', (given, reason) => {
    const answer = parseBackendUrl(given, rules)
    expect('problem' in answer && answer.problem).toMatch(reason)
  })
})
