/** Reads a file that holds one credential and nothing else. */
import { CREDENTIAL_HINT, CREDENTIAL_TEXT } from './schema/credentials.ts'

/** White space around it, such as the line end that editors write, is no part of it. Throws an Error that repeats none of it. */
export function readCredential(text: string): string {
  const credential = text.trim()
  if (!CREDENTIAL_TEXT.test(credential)) throw new Error(CREDENTIAL_HINT)
  return credential
}
