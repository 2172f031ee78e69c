/** The names in a client's certificate. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { alternativeNames, peerCertificate } from '../../../src/core/peer-certificate.ts'

describe('a client certificate', () => {
  test('is read with all of its names', () => {
    const read = peerCertificate({
      subject: { CN: 'app-1', OU: ['mobile', 'search'], O: 'Example' },
      subjectaltname: 'DNS:app-1.example, URI:spiffe://example/ns/app, IP Address:127.0.0.1, DNS:app.example',
      fingerprint256: 'AB:CD:01',
    })
    expect(read).toEqual({
      subjectCn: ['app-1'],
      subjectOu: ['mobile', 'search'],
      sanDns: ['app-1.example', 'app.example'],
      sanUri: ['spiffe://example/ns/app'],
      fingerprint: 'abcd01',
    })
  })

  test('without names has none', () => {
    const read = peerCertificate({ subject: {}, fingerprint256: '00' })
    expect(read).toMatchObject({ subjectCn: [], subjectOu: [], sanDns: [], sanUri: [] })
  })

  test('cannot name a second one inside of the first', () => {
    const text = String.raw`DNS:"a\u002c DNS:victim.example", URI:"say \"x\", DNS:victim.example"`
    expect(alternativeNames(text)).toEqual([
      { type: 'DNS', name: 'a, DNS:victim.example' },
      { type: 'URI', name: 'say "x", DNS:victim.example' },
    ])
  })

  test('has the names that were written, whatever they are', () => {
    const type = fc.constantFrom('DNS', 'URI', 'email', 'IP Address')
    const names = fc.array(fc.record({ type, name: fc.string() }, { noNullPrototype: true }))
    fc.assert(
      fc.property(names, (written) => {
        const text = written.map((one) => `${one.type}:${asNode(one.name)}`).join(', ')
        expect(alternativeNames(text)).toEqual(written)
      }),
    )
  })
})

/** As Node writes a name: as JSON where it is not plain. */
function asNode(name: string): string {
  return /^[^",'\\\0-\x1f\x7f-\uffff]*$/.test(name) ? name : JSON.stringify(name)
}
