// The SDK alone: a loop over GetRecords for each shard, in its own goroutine.
package main

import (
	"context"
	"os"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

var (
	background = context.Background()
	stream     = aws.String("orders")
)

func main() {
	client := kinesis.New(kinesis.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(os.Getenv("AWS_ENDPOINT_URL_KINESIS")),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "x", SecretAccessKey: "x"}, nil
		}),
	})
	list, err := client.ListShards(background, &kinesis.ListShardsInput{StreamName: stream})
	must(err)

	counts := newMeter()
	var lock sync.Mutex
	var shards sync.WaitGroup
	for _, shard := range list.Shards {
		shards.Add(1)
		go func() {
			defer shards.Done()
			read(client, shard.ShardId, func(records []types.Record) {
				lock.Lock()
				defer lock.Unlock()
				for _, record := range records {
					counts.count(record.Data)
				}
			})
		}()
	}
	shards.Wait()
}

// read passes each page of a shard to count.
func read(client *kinesis.Client, shardID *string, count func([]types.Record)) {
	start, err := client.GetShardIterator(background, &kinesis.GetShardIteratorInput{
		StreamName:        stream,
		ShardId:           shardID,
		ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	must(err)
	iterator := start.ShardIterator
	for iterator != nil {
		page, err := client.GetRecords(background, &kinesis.GetRecordsInput{
			ShardIterator: iterator,
			Limit:         aws.Int32(10_000),
		})
		must(err)
		count(page.Records)
		iterator = page.NextShardIterator
	}
}
