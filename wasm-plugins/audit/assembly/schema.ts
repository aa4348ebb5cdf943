/** The JSON Schema of the configuration. */
export const SCHEMA: string = '{"type":"object","additionalProperties":false,"properties":{' +
  '"level":{"type":"string","enum":["trace","debug","info","warn","error","off"],' +
  '"default":"info","description":"The level of the lines; off: only count"},' +
  '"connections":{"type":"boolean","default":true,' +
  '"description":"Lines for connections opened and closed"},' +
  '"statementBytesMax":{"type":"integer","minimum":0,"maximum":16384,"default":1024,' +
  '"description":"Longest statement told; 0: none is, only its fingerprint"},' +
  '"minDuration":{"type":"integer","minimum":0,"maximum":86400000,"default":0,' +
  '"description":"Milliseconds; what is done sooner is counted only, unless it failed"},' +
  '"sample":{"type":"number","minimum":0,"maximum":1,"default":1,' +
  '"description":"The share of statements told; those that fail always are"},' +
  '"parameters":{"type":"boolean","default":false,' +
  '"description":"Tell the values of parameters: they are what people keep secret"},' +
  '"errorMessages":{"type":"boolean","default":false,' +
  '"description":"Tell the texts of errors, which may hold values"}}}'
