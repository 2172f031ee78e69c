/** The step `links` of `npm run check`: every link and anchor in every page of Markdown leads somewhere in this clone. */
import { brokenLinks } from './links.ts'
import { ROOT, readRepository } from './repository.ts'

const library = readRepository(ROOT)
const broken = brokenLinks(library)
for (const line of broken) process.stderr.write(`${line}\n`)
const links = [...library.pages.values()].reduce((sum, page) => sum + page.links.length, 0)
process.stdout.write(`${links} links in ${library.pages.size} pages, ${broken.length} of them broken\n`)
if (broken.length > 0) process.exitCode = 1
