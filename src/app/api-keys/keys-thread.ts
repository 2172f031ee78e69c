/** The entry point of the thread that reads one file of API keys. */
import { readKeys } from '../../config/keys-file.ts'
import { answerRead } from '../read-in-thread.ts'

answerRead(readKeys)
