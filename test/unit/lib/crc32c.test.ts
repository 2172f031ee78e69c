import { expect, it } from 'vitest'
import { crc32c } from '../../../src/lib/crc32c.ts'

// RFC 3720, appendix B.4.
it.each([
  ['zeros', new Uint8Array(32), 0x8a9136aa],
  ['ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['ascending', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['digits', Buffer.from('123456789'), 0xe3069283],
  ['nothing', new Uint8Array(0), 0],
])('of %s', (_, bytes, wanted) => expect(crc32c(bytes)).toBe(wanted))
