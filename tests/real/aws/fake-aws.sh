#!/bin/sh
# Stands for the AWS command line and docker. It notes every call in $FAKE/calls, and remembers in $FAKE what there is;
# a stack in $FAKE/failing-NAME fails at its first deployment.
printf '%s' "$(basename "$0")" >> "$FAKE/calls"
for word in "$@"; do printf ' %s' "$word" >> "$FAKE/calls"; done
echo >> "$FAKE/calls"
[ "$(basename "$0")" = aws ] || { [ "$1" != buildx ] || touch "$FAKE/image"; exit 0; }
there() { [ -e "$FAKE/$1" ] || { echo "An error occurred ($2)" >&2; exit 254; }; }
case "$1 $2" in
  'sts get-caller-identity') echo 111122223333 ;;
  'ecr get-login-password') echo password ;;
  'ecr describe-repositories') there repository RepositoryNotFoundException ;;
  'ecr create-repository') touch "$FAKE/repository" ;;
  'ecr describe-images') there image ImageNotFoundException; echo sha256:0123 ;;
  's3api head-bucket') there bucket '404) when calling HeadBucket: Not Found' ;;
  's3api create-bucket') touch "$FAKE/bucket" ;;
  's3api delete-bucket') rm "$FAKE/bucket" ;;
  's3api head-object') there object '404) when calling HeadObject: Not Found' ;;
  's3api put-object') touch "$FAKE/object" ;;
  's3api list-object-versions') printf 'one.zip\t1\ntwo.zip\t2\n' ;;
  'secretsmanager describe-secret') there secret ResourceNotFoundException; echo "arn:aws:secretsmanager:eu-west-1:111122223333:secret:$4-AbCdEf" ;;
  'secretsmanager create-secret' | 'secretsmanager put-secret-value') cp "${6#file://}" "$FAKE/secret"; echo 1 >> "$FAKE/version" ;;
  'secretsmanager get-secret-value')
    case "$*" in *VersionId*) wc -l < "$FAKE/version" | tr -d ' ' ;; *) cat "$FAKE/secret" ;; esac ;;
  'secretsmanager delete-secret') rm "$FAKE/secret" ;;
  'ec2 describe-vpcs') echo 10.0.0.0/16,10.1.0.0/16 ;;
  'cloudformation describe-stacks')
    there "stack-$4" "ValidationError) when calling DescribeStacks: Stack with id $4 does not exist"
    case "$*" in
      *StackStatus*) cat "$FAKE/stack-$4" ;;
      *OutputKey*) echo "$*" | sed "s/.*OutputKey=='\([A-Za-z]*\)'.*/the-\1/" ;;
    esac ;;
  'cloudformation deploy')
    if [ -e "$FAKE/failing-$4" ]; then echo ROLLBACK_COMPLETE > "$FAKE/stack-$4"; exit 255; fi
    echo UPDATE_COMPLETE > "$FAKE/stack-$4" ;;
  'cloudformation delete-stack') rm "$FAKE/stack-$4" ;;
esac
