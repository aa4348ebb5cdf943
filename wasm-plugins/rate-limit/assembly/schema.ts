/** The JSON Schema of the configuration, put together at the start from what the SDK knows. */
import { spelled, Word } from '../../sdk/assembly/sql/words'
import { textOf } from '../../sdk/assembly/sdk'

/** Purposes by their number in the SDK, as `kinds` names them. */
export const PURPOSES: StaticArray<string> = [
  'reading', 'writing', 'defining', 'transacting', 'arranging', 'running', 'maintaining', 'other',
]

function kinds(): string {
  let list = ''
  for (let at = 0; at < PURPOSES.length; at++) list += '"' + PURPOSES[at] + '",'
  for (let word = <i32>Word.Select; word < Word.Other; word++) {
    list += '"' + textOf(spelled(<Word>word)) + '",'
  }
  return list + '"OTHER"'
}

const RATE = '"rate":{"type":"number","minimum":0.0001,"maximum":1000000000,' +
  '"description":"So many a second, on average"},' +
  '"burst":{"type":"number","minimum":1,"maximum":1000000000,' +
  '"description":"So many at once; left out: a second\'s worth"}'

function names(description: string): string {
  return '{"type":"array","items":{"type":"string","minLength":1,"maxLength":256},' +
    '"description":"' + description + '"}'
}

function rule(): string {
  return '{"type":"object","additionalProperties":false,"required":["name"],"properties":{' +
    '"name":{"type":"string","minLength":1,"maxLength":64,"description":"In errors, metrics"},' +
    '"per":{"type":"array","items":{"enum":["user","address","database"]},"default":["user"],' +
    '"description":"What each has a bucket of its own; [] is one for all"},' +
    '"kinds":{"type":"array","items":{"enum":[' + kinds() + ']},' +
    '"description":"Verbs or purposes; left out: all but transacting"},' +
    '"users":' + names('Only these, with * and ?') + ',' +
    '"exceptUsers":' + names('Not these') + ',' +
    '"databases":' + names('Only in these') + ',' + RATE + ',' +
    '"action":{"enum":["deny","count"],"default":"deny",' +
    '"description":"count: say in metrics what would have been refused"}}}'
}

export function schema(): string {
  return '{"type":"object","additionalProperties":false,"properties":{' +
    '"rules":{"type":"array","description":"Left out: nothing is refused, rates are measured",' +
    '"items":' + rule() + '},' +
    '"connections":{"type":"object","additionalProperties":false,"required":["rate"],' +
    '"properties":{"per":{"enum":["address","all"],"default":"address"},' + RATE + '}},' +
    '"bucketsMax":{"type":"integer","minimum":64,"maximum":500000,"default":16384,' +
    '"description":"Buckets kept; beyond it the one used longest ago is full again"}}}'
}
