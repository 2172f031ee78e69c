import { describe, expect, it } from 'vitest'
import { CompressionError, HpackDecoder } from '../../../../src/lib/http2/hpack-decoder.ts'
import { encodeFields } from '../../../../src/lib/http2/hpack-encoder.ts'

const decoder = (maxTableBytes = 4096, maxListBytes = 65_536) =>
  new HpackDecoder({ maxTableBytes, maxListBytes })
const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex')

describe('the examples of RFC 7541, appendix C', () => {
  const GET = [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com']
  const requests: [string, string[]][] = [
    ['8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d', GET],
    ['8286 84be 5808 6e6f 2d63 6163 6865', [...GET, 'cache-control', 'no-cache']],
    [
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
      [
        ':method',
        'GET',
        ':scheme',
        'https',
        ':path',
        '/index.html',
        ':authority',
        'www.example.com',
        'custom-key',
        'custom-value',
      ],
    ],
  ]
  it('C.3: requests without Huffman code', () => {
    const own = decoder()
    for (const [hex, fields] of requests) expect(own.decode(bytes(hex)).fields).toEqual(fields)
  })

  it('C.4: the same with Huffman code', () => {
    const own = decoder()
    const coded = [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ]
    for (const [i, hex] of coded.entries()) expect(own.decode(bytes(hex)).fields).toEqual(requests[i]?.[1])
  })

  it('C.6: answers with Huffman code, in a table of 256 bytes', () => {
    const own = decoder(256)
    const answers = [
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      '4883 640e ffc1 c0bf',
      '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
    ]
    const [first, second, third] = answers.map((hex) => own.decode(bytes(hex)).fields)
    expect(first?.slice(0, 4)).toEqual([':status', '302', 'cache-control', 'private'])
    expect(second).toEqual([':status', '307', ...(first as string[]).slice(2)])
    expect(third?.slice(-2)).toEqual([
      'set-cookie',
      'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
    ])
  })

  it('C.2.1 to C.2.3: what is kept, what is not, and what must never be', () => {
    const own = decoder()
    expect(
      own.decode(bytes('400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572')).fields,
    ).toEqual(['custom-key', 'custom-header'])
    expect(own.decode(bytes('040c 2f73 616d 706c 652f 7061 7468')).fields).toEqual([':path', '/sample/path'])
    expect(own.decode(bytes('1008 7061 7373 776f 7264 0673 6563 7265 74')).fields).toEqual([
      'password',
      'secret',
    ])
    expect(own.decode(bytes('be')).fields).toEqual(['custom-key', 'custom-header'])
    expect(() => own.decode(bytes('bf'))).toThrow(CompressionError)
  })
})

it('gives the same list for the same bytes while the table stays as it is', () => {
  const own = decoder()
  own.decode(bytes('4001 6101 62'))
  const first = own.decode(bytes('be'))
  expect(own.decode(bytes('be'))).toBe(first)
  own.decode(bytes('4001 6301 64'))
  expect(own.decode(bytes('be')).fields).toEqual(['c', 'd'])
  expect(own.decode(bytes('bf')).fields).toEqual(['a', 'b'])
})

it('drops the oldest fields, and all of them for one that does not fit', () => {
  const own = decoder(100)
  own.decode(bytes('4001 6101 62'))
  own.decode(bytes('4001 6301 64'))
  own.decode(bytes('4001 6501 66'))
  expect(own.decode(bytes('be bf')).fields).toEqual(['e', 'f', 'c', 'd'])
  expect(() => own.decode(bytes('c0'))).toThrow(CompressionError)
  own.decode(Buffer.concat([bytes('4001 6750'), Buffer.alloc(80, 'h')]))
  expect(() => own.decode(bytes('be'))).toThrow(CompressionError)
})

it('cuts a list that is too long, and goes on with the table', () => {
  const own = decoder(4096, 100)
  const kept = own.decode(Buffer.concat([bytes('4001 6101 62'), bytes('be be be be')]))
  expect(kept).toEqual({ fields: ['a', 'b', 'a', 'b'], isCut: true })
  expect(own.decode(bytes('be'))).toEqual({ fields: ['a', 'b'], isCut: false })
})

it.each([
  ['the index 0', '80'],
  ['an index beyond the tables', 'be'],
  ['an integer that is cut', 'ff'],
  ['an integer of more than 28 bits', 'ff ff ff ff ff 01'],
  ['a string that is cut', '0001 61 05 62'],
  ['a name that is missing', '00'],
  ['a table larger than agreed', '3f e2 1f'],
  ['a resized table behind a field', '82 20'],
  ['Huffman padding of more than seven bits', '0001 6182 1fff'],
  ['Huffman padding that is not ones', '0001 6181 18'],
  ['the end of a string in Huffman code', '0001 6184 ffff ffff'],
])('refuses %s', (_, hex) => {
  expect(() => decoder().decode(bytes(hex))).toThrow(CompressionError)
})

it('reads what it writes', () => {
  const fields = [
    ':status',
    '200',
    'content-type',
    'application/grpc',
    'x-long',
    'a'.repeat(70_000),
    'x-é'.slice(0, 2),
    'é\xff',
    ':status',
    '418',
    'age',
    '',
  ]
  const block = encodeFields(fields)
  expect(decoder(4096, 1e6).decode(block).fields).toEqual(fields)
  expect([...block.subarray(0, 2)]).toEqual([0x88, 0x0f])
})
