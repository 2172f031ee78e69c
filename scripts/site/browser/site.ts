/** What a page does besides being read: search, the choice of a theme, and the copying of commands. None is needed to read it. */
import { offerCopies } from './copies.ts'
import { offerSearch } from './search.ts'
import { offerThemes } from './themes.ts'

// On a phone the list of pages would be all that one sees.
const menu = document.querySelector<HTMLDetailsElement>('details.menu')
if (menu && matchMedia('(max-width: 56rem)').matches) menu.open = false
document.querySelector('nav.pages [aria-current]')?.scrollIntoView({ block: 'nearest' })

offerThemes()
offerSearch()
offerCopies()
