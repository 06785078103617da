// Creates the aggregated record node.bin in this folder with AWS's aggregator for Node.js:
//
//     npm install aws-kinesis-agg@4.2.8 && node make.js

const { aggregate } = require("aws-kinesis-agg");
const { writeFileSync } = require("fs");

const records = [
  { partitionKey: "customer 1", data: Buffer.from("first") },
  {
    partitionKey: "clé – 鍵",
    data: Buffer.from([0, 255, 128]),
    explicitHashKey: "170141183460469231731687303715884105728",
  },
  { partitionKey: "customer 1", data: Buffer.from("naïve – 記録") },
];
aggregate(
  records,
  (encoded, done) => {
    writeFileSync("node.bin", encoded.data ?? encoded.Data);
    done();
  },
  () => {},
  (error) => {
    if (error) throw error;
  },
);
