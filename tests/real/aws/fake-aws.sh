#!/bin/sh
# Stands for the AWS command line and docker. It notes every call in $FAKE/calls, and remembers in $FAKE what there is;
# the stack NAME fails at its first deployment where there is $FAKE/failing-NAME.
name=$(basename "$0")
echo "$name $*" >> "$FAKE/calls"
if [ "$name" = docker ]; then
  case $1 in
    # The password: whoever writes it would be told of a broken pipe.
    login) cat > /dev/null ;;
    buildx) touch "$FAKE/image" ;;
  esac
  exit
fi

there() {
  [ -e "$FAKE/$1" ] || {
    echo "An error occurred ($2" >&2
    exit 254
  }
}

case "$1 $2" in
  'sts get-caller-identity') echo 111122223333 ;;
  'ecr get-login-password') echo password ;;
  'ecr describe-repositories') there repository RepositoryNotFoundException ;;
  'ecr create-repository') touch "$FAKE/repository" ;;
  'ecr describe-images') there image ImageNotFoundException && echo sha256:0123 ;;
  's3api head-bucket') there bucket '404) when calling HeadBucket' ;;
  's3api create-bucket') touch "$FAKE/bucket" ;;
  's3api head-object') there object '404) when calling HeadObject' ;;
  's3api put-object') touch "$FAKE/object" ;;
  'secretsmanager describe-secret')
    there secret ResourceNotFoundException
    echo "arn:aws:secretsmanager:eu-west-1:111122223333:secret:$4-AbCdEf"
    ;;
  'secretsmanager create-secret' | 'secretsmanager put-secret-value')
    cp "${6#file://}" "$FAKE/secret"
    echo >> "$FAKE/versions"
    ;;
  'secretsmanager get-secret-value')
    case "$*" in
      *VersionId*) grep -c '' "$FAKE/versions" ;;
      *) cat "$FAKE/secret" ;;
    esac
    ;;
  'ec2 describe-vpcs') echo 10.0.0.0/16,10.1.0.0/16 ;;
  'cloudformation describe-stacks')
    there "stack-$4" "ValidationError) when calling DescribeStacks: Stack with id $4 does not exist"
    case "$*" in
      *StackStatus*) cat "$FAKE/stack-$4" ;;
      *OutputKey*) echo "$*" | sed "s/.*OutputKey=='\([A-Za-z]*\)'.*/the-\1/" ;;
    esac
    ;;
  'cloudformation deploy')
    if [ -e "$FAKE/failing-$4" ]; then
      echo ROLLBACK_COMPLETE > "$FAKE/stack-$4"
      exit 255
    fi
    echo UPDATE_COMPLETE > "$FAKE/stack-$4"
    ;;
  'cloudformation delete-stack') rm "$FAKE/stack-$4" ;;
esac
