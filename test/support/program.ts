/** The program as tests start it: the bundle that `test/global-setup.ts` makes. */
import { fileURLToPath } from 'node:url'

export const MAIN: string = fileURLToPath(new URL('../../.cache/gateway/main.js', import.meta.url))
